"""The JSON of jobs, for the OpenAPI page. Tests hold the real answers to it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.checks import THRESHOLD_RANGE
from gateway.server.http_models import ERRORS
from reasoncd.ports import Mode


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JobProgressModel(_Exact):
    """How far a job is."""

    stage: Literal["check", "reason", "tiles", "stitch", "write"]
    done: int
    total: int
    seconds_left: float | None = Field(description="Until the tiles are done; null where it is not known.")


class FailedTileModel(_Exact):
    """A tile that could not be done: the map holds no data there. In pixels of the earlier scene."""

    top: int
    left: int
    height: int
    width: int
    reason: str


class JobFileModel(_Exact):
    """A result."""

    name: str
    size: int = Field(description="Bytes.")
    href: str = Field(description="Where it is; takes range requests.")


class JobModel(_Exact):
    """A question about two scenes."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    query: str = Field(description="The question as it was read.")
    progress: JobProgressModel | None = Field(description="Null where it is not in work.")
    answer: str | None = Field(description="For a person; null before it is done.")
    failed_tiles: list[FailedTileModel]
    files: list[JobFileModel]
    created: str = Field(description="When it was submitted, in RFC 3339.")
    error: str | None = Field(description="Why it failed, or what it waits for.")


class JobsModel(_Exact):
    """The caller's jobs, the newest first."""

    jobs: list[JobModel]


class SceneModel(_Exact):
    """A scene that a job may name."""

    name: str


class ScenesModel(_Exact):
    """Scenes that a job may name."""

    scenes: list[SceneModel]


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "binary", "description": description}


def _name(which: str) -> dict[str, Any]:
    return {"type": "string", "description": f"Instead of {which}: one of GET /v1/scenes."}


JOB_FORM: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 128},
            "description": "The same key with the same input gives the same job.",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["query"],
                    "additionalProperties": False,
                    "properties": {
                        "t1": _file("The earlier scene: a GeoTIFF."),
                        "t2": _file("The later scene; it may lie on another grid."),
                        "t1_name": _name("t1"),
                        "t2_name": _name("t2"),
                        "query": {"type": "string", "description": "One question in plain words."},
                        "mode": {
                            "type": "string",
                            "enum": [mode.value for mode in Mode],
                            "default": Mode.SHORT.value,
                            "description": "Whether the answer gives a reason.",
                        },
                        "threshold": {
                            "type": "number",
                            "minimum": THRESHOLD_RANGE[0],
                            "maximum": THRESHOLD_RANGE[1],
                            "description": "A pixel is changed at or above it; the model's own if not sent.",
                        },
                        "views": {
                            "type": "boolean",
                            "default": False,
                            "description": "Whether both scenes are written as pictures too.",
                        },
                    },
                }
            }
        },
    },
}
"""The submission, which is read by hand so that files go to the disk as they come."""

JOB_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events `job`, each a JobModel, until it has ended; or `error`.",
    },
    **ERRORS,
}
JOB_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file."},
    206: {"content": {"application/octet-stream": {}}, "description": "The part that `Range` asks for."},
    **ERRORS,
}

"""The JSON of the HTTP door, for its OpenAPI page. Tests hold the real answers to it, field by field."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.checks import MAX_QUERIES, THRESHOLD_RANGE
from gateway.server.asked import MapFormat
from reasoncd.meanings import MAX_CLICKS
from reasoncd.ports import Mode


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TensorModel(_Exact):
    """A map as numbers."""

    dtype: Literal["uint8", "float32"]
    shape: list[int] = Field(description="Height and width.")
    data: str = Field(description="Base64 of the elements: little-endian, row by row, without gaps.")


class DetectionModel(_Exact):
    """The answer to one question."""

    query: str = Field(description="The question as it was read.")
    answer: str = Field(description="For a person; agrees with the map.")
    model_answer: str = Field(description="The model's own words.")
    seg_emitted: bool = Field(description="Whether the model took the question for one about land cover.")
    seg_probability: float = Field(description="Of the <SEG> token where it was chosen, else 0.")
    presence: float = Field(description="Probability that the asked change is there at all.")
    confidence: float | None = Field(description="Predicted IoU of the map; null where the map is empty.")
    threshold: float = Field(description="A pixel is changed at or above this probability.")
    presence_threshold: float = Field(description="Below this presence a tile is taken as unchanged.")
    changed_fraction: float = Field(description="Changed part of the area.")
    polygons: dict[str, Any] = Field(description="The changed places: GeoJSON in pixels, x right and y down.")
    place_count: int = Field(description="How many places, those that are too small to outline included.")
    fingerprints: dict[str, str] = Field(description="Of each component that took part.")
    timings_s: dict[str, float] = Field(description="Seconds of each stage.")
    meaning: str = Field(description="To be sent back with a further request that asks the same question.")
    change_map_png: str = Field(default="", description="Base64 of a PNG: one band, 255 where it changed.")
    change_map: TensorModel | None = Field(default=None, description="uint8, 1 where it changed.")
    probability: TensorModel | None = Field(default=None, description="float32, in [0, 1].")


class DetectModel(_Exact):
    """The answers, one a question, in order."""

    detections: list[DetectionModel]


class TensorShapeModel(_Exact):
    """A tensor that passes between components."""

    name: str
    dtype: str
    shape: list[int]


class ComponentModel(_Exact):
    """A part of the model."""

    component: str
    version: str
    preset: str
    fingerprint: str
    seg_space: str | None
    image_size: int | None
    presence_threshold: float | None
    probability_threshold: float | None
    tensors: list[TensorShapeModel]


class LimitsModel(_Exact):
    """What is refused more of."""

    message_bytes: int
    image_bytes: int
    image_side: int
    queries: int
    requests: int


class DescribeModel(_Exact):
    """Who answers."""

    version: str
    components: list[ComponentModel]
    limits: LimitsModel


class ErrorModel(_Exact):
    """What is wrong."""

    code: str = Field(description="A gRPC status by name.")
    message: str = Field(description="One sentence: what is wrong, and how to mend it.")
    request_id: str = Field(description="To look for in the gateway's log.")


class ErrorBodyModel(_Exact):
    """The body of every response that is no success."""

    error: ErrorModel


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "binary", "description": description}


FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["t1", "t2", "query"],
                    "additionalProperties": False,
                    "properties": {
                        "t1": _file("The earlier image: PNG, JPEG or TIFF in 8-bit colour."),
                        "t2": _file("The later image, of the same size."),
                        "query": {
                            "type": "array",
                            "items": {"type": "string"},
                            "minItems": 1,
                            "maxItems": MAX_QUERIES,
                            "description": "A question in plain words; send the field again for more.",
                        },
                        "mode": {
                            "type": "string",
                            "enum": [mode.value for mode in Mode],
                            "default": Mode.SHORT.value,
                            "description": "Whether the answers give a reason.",
                        },
                        "threshold": {
                            "type": "number",
                            "minimum": THRESHOLD_RANGE[0],
                            "maximum": THRESHOLD_RANGE[1],
                            "description": "A pixel is changed at or above it; the model's own if not sent.",
                        },
                        "with_probability": {
                            "type": "boolean",
                            "default": False,
                            "description": "Whether the map of probabilities is sent too.",
                        },
                        "map_format": {
                            "type": "string",
                            "enum": [form.value for form in MapFormat],
                            "default": MapFormat.PNG.value,
                            "description": "How the change map is sent.",
                        },
                        "meaning": {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "Of each question, as an earlier answer gave it; saves the time "
                            "to reason about it again.",
                        },
                        "clicks": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": f"Corrections of one question's map, {MAX_CLICKS} at most: a JSON "
                            'list of {"x", "y", "changed"}, in pixels from the upper left corner.',
                        },
                    },
                }
            }
        },
    }
}
"""The request, which is read by hand so that every mistake has its sentence."""

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBodyModel, "description": "The request cannot be answered as it is."},
    "5XX": {"model": ErrorBodyModel, "description": "No fault of the request."},
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events `progress`, `text`, `mask` (one a question), then `done`; or `error`.",
    },
    **ERRORS,
}

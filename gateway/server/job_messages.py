"""Jobs as messages and as JSON: the same names and values."""

from typing import Any
from urllib.parse import quote

from google.protobuf.json_format import MessageToDict

from gateway.jobs.job import Job, JobOrder, JobState
from reasoncd.rpc.messages import mode_from_proto
from reasoncd.v1 import jobs_pb2 as pb

_STATES: dict[JobState, pb.SceneJobState] = {
    JobState.QUEUED: pb.SCENE_JOB_STATE_QUEUED,
    JobState.RUNNING: pb.SCENE_JOB_STATE_RUNNING,
    JobState.DONE: pb.SCENE_JOB_STATE_DONE,
    JobState.FAILED: pb.SCENE_JOB_STATE_FAILED,
    JobState.CANCELLED: pb.SCENE_JOB_STATE_CANCELLED,
}


def order_from_proto(message: pb.SceneJobOrder) -> JobOrder:
    """What a submission asks.

    Raises:
        InvalidInputError: a field cannot be used.
    """
    return JobOrder(
        query=message.query,
        mode=mode_from_proto(message.mode),
        threshold=message.threshold if message.HasField("threshold") else None,
        views=message.views,
        t1_name=message.t1_name or None,
        t2_name=message.t2_name or None,
    )


def job_to_proto(job: Job) -> pb.SceneJob:
    """A job."""
    message = pb.SceneJob(
        id=job.id,
        state=_STATES[job.state],
        query=job.order.query,
        answer=job.answer,
        failed_tiles=[
            pb.SceneJobFailedTile(
                top=tile.top, left=tile.left, height=tile.height, width=tile.width, reason=tile.reason
            )
            for tile in job.failed_tiles
        ],
        files=[pb.SceneJobFile(name=file.name, size=file.size) for file in job.files],
        created=job.created.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        error=job.error,
    )
    if job.progress is not None:
        told = job.progress
        message.progress.CopyFrom(
            pb.SceneJobProgress(
                stage=told.stage, done=told.done, total=told.total, seconds_left=told.seconds_left
            )
        )
    return message


def job_to_json(job: Job) -> dict[str, Any]:
    """The same; what is not set is null, and each file says where it is."""
    message = job_to_proto(job)
    value: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    value["state"] = job.state.value
    for name in ("progress", "answer", "error"):
        value.setdefault(name, None)
    # Protobuf's JSON writes 64-bit numbers as strings.
    if value["progress"] is not None:
        value["progress"].setdefault("seconds_left", None)
        for name in ("done", "total"):
            value["progress"][name] = int(value["progress"][name])
    for tile in value["failed_tiles"]:
        tile.update({name: int(tile[name]) for name in ("top", "left", "height", "width")})
    for file in value["files"]:
        file["size"] = int(file["size"])
        file["href"] = f"/v1/jobs/{job.id}/files/{quote(file['name'])}"
    return value

from reasoncd.v1 import reasoner_pb2 as _reasoner_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SceneJobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCENE_JOB_STATE_UNSPECIFIED: _ClassVar[SceneJobState]
    SCENE_JOB_STATE_QUEUED: _ClassVar[SceneJobState]
    SCENE_JOB_STATE_RUNNING: _ClassVar[SceneJobState]
    SCENE_JOB_STATE_DONE: _ClassVar[SceneJobState]
    SCENE_JOB_STATE_FAILED: _ClassVar[SceneJobState]
    SCENE_JOB_STATE_CANCELLED: _ClassVar[SceneJobState]
SCENE_JOB_STATE_UNSPECIFIED: SceneJobState
SCENE_JOB_STATE_QUEUED: SceneJobState
SCENE_JOB_STATE_RUNNING: SceneJobState
SCENE_JOB_STATE_DONE: SceneJobState
SCENE_JOB_STATE_FAILED: SceneJobState
SCENE_JOB_STATE_CANCELLED: SceneJobState

class SceneJobsSubmitRequest(_message.Message):
    __slots__ = ("order", "t1_data", "t2_data")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    T1_DATA_FIELD_NUMBER: _ClassVar[int]
    T2_DATA_FIELD_NUMBER: _ClassVar[int]
    order: SceneJobOrder
    t1_data: bytes
    t2_data: bytes
    def __init__(self, order: _Optional[_Union[SceneJobOrder, _Mapping]] = ..., t1_data: _Optional[bytes] = ..., t2_data: _Optional[bytes] = ...) -> None: ...

class SceneJobOrder(_message.Message):
    __slots__ = ("query", "mode", "threshold", "views", "t1_name", "t2_name", "idempotency_key")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    T1_NAME_FIELD_NUMBER: _ClassVar[int]
    T2_NAME_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    query: str
    mode: _reasoner_pb2.Mode
    threshold: float
    views: bool
    t1_name: str
    t2_name: str
    idempotency_key: str
    def __init__(self, query: _Optional[str] = ..., mode: _Optional[_Union[_reasoner_pb2.Mode, str]] = ..., threshold: _Optional[float] = ..., views: _Optional[bool] = ..., t1_name: _Optional[str] = ..., t2_name: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class SceneJobsSubmitResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: SceneJob
    def __init__(self, job: _Optional[_Union[SceneJob, _Mapping]] = ...) -> None: ...

class SceneJobsWatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SceneJobsWatchResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: SceneJob
    def __init__(self, job: _Optional[_Union[SceneJob, _Mapping]] = ...) -> None: ...

class SceneJobsListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SceneJobsListResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[SceneJob]
    def __init__(self, jobs: _Optional[_Iterable[_Union[SceneJob, _Mapping]]] = ...) -> None: ...

class SceneJobsCancelRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SceneJobsCancelResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: SceneJob
    def __init__(self, job: _Optional[_Union[SceneJob, _Mapping]] = ...) -> None: ...

class SceneJobsDeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SceneJobsDeleteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SceneJobsFetchRequest(_message.Message):
    __slots__ = ("id", "name", "offset")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    offset: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class SceneJobsFetchResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class SceneJobsListScenesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SceneJobsListScenesResponse(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class SceneJob(_message.Message):
    __slots__ = ("id", "state", "query", "progress", "answer", "failed_tiles", "files", "created", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FAILED_TILES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: SceneJobState
    query: str
    progress: SceneJobProgress
    answer: str
    failed_tiles: _containers.RepeatedCompositeFieldContainer[SceneJobFailedTile]
    files: _containers.RepeatedCompositeFieldContainer[SceneJobFile]
    created: str
    error: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[SceneJobState, str]] = ..., query: _Optional[str] = ..., progress: _Optional[_Union[SceneJobProgress, _Mapping]] = ..., answer: _Optional[str] = ..., failed_tiles: _Optional[_Iterable[_Union[SceneJobFailedTile, _Mapping]]] = ..., files: _Optional[_Iterable[_Union[SceneJobFile, _Mapping]]] = ..., created: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class SceneJobProgress(_message.Message):
    __slots__ = ("stage", "done", "total", "seconds_left")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    seconds_left: float
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., seconds_left: _Optional[float] = ...) -> None: ...

class SceneJobFailedTile(_message.Message):
    __slots__ = ("top", "left", "height", "width", "reason")
    TOP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    top: int
    left: int
    height: int
    width: int
    reason: str
    def __init__(self, top: _Optional[int] = ..., left: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SceneJobFile(_message.Message):
    __slots__ = ("name", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

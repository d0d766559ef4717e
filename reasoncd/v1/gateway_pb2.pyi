from reasoncd.v1 import describe_pb2 as _describe_pb2
from reasoncd.v1 import reasoner_pb2 as _reasoner_pb2
from reasoncd.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MapFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_FORMAT_UNSPECIFIED: _ClassVar[MapFormat]
    MAP_FORMAT_PNG: _ClassVar[MapFormat]
    MAP_FORMAT_TENSOR: _ClassVar[MapFormat]
    MAP_FORMAT_NONE: _ClassVar[MapFormat]
MAP_FORMAT_UNSPECIFIED: MapFormat
MAP_FORMAT_PNG: MapFormat
MAP_FORMAT_TENSOR: MapFormat
MAP_FORMAT_NONE: MapFormat

class ChangeDetectionDescribeResponse(_message.Message):
    __slots__ = ("version", "components", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: str
    components: _containers.RepeatedCompositeFieldContainer[_describe_pb2.Description]
    limits: DetectLimits
    def __init__(self, version: _Optional[str] = ..., components: _Optional[_Iterable[_Union[_describe_pb2.Description, _Mapping]]] = ..., limits: _Optional[_Union[DetectLimits, _Mapping]] = ...) -> None: ...

class DetectLimits(_message.Message):
    __slots__ = ("message_bytes", "image_bytes", "image_side", "queries", "requests")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIDE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    image_bytes: int
    image_side: int
    queries: int
    requests: int
    def __init__(self, message_bytes: _Optional[int] = ..., image_bytes: _Optional[int] = ..., image_side: _Optional[int] = ..., queries: _Optional[int] = ..., requests: _Optional[int] = ...) -> None: ...

class DetectRequest(_message.Message):
    __slots__ = ("image_t1", "image_t2", "queries", "mode", "threshold", "with_probability", "map_format", "meanings", "clicks")
    IMAGE_T1_FIELD_NUMBER: _ClassVar[int]
    IMAGE_T2_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WITH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MAP_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MEANINGS_FIELD_NUMBER: _ClassVar[int]
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    image_t1: bytes
    image_t2: bytes
    queries: _containers.RepeatedScalarFieldContainer[str]
    mode: _reasoner_pb2.Mode
    threshold: float
    with_probability: bool
    map_format: MapFormat
    meanings: _containers.RepeatedCompositeFieldContainer[Meaning]
    clicks: _containers.RepeatedCompositeFieldContainer[Click]
    def __init__(self, image_t1: _Optional[bytes] = ..., image_t2: _Optional[bytes] = ..., queries: _Optional[_Iterable[str]] = ..., mode: _Optional[_Union[_reasoner_pb2.Mode, str]] = ..., threshold: _Optional[float] = ..., with_probability: _Optional[bool] = ..., map_format: _Optional[_Union[MapFormat, str]] = ..., meanings: _Optional[_Iterable[_Union[Meaning, _Mapping]]] = ..., clicks: _Optional[_Iterable[_Union[Click, _Mapping]]] = ...) -> None: ...

class Meaning(_message.Message):
    __slots__ = ("answer", "seg_embedding", "seg_probability", "fingerprint", "seg_space")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SEG_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    SEG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SEG_SPACE_FIELD_NUMBER: _ClassVar[int]
    answer: str
    seg_embedding: _tensor_pb2.Tensor
    seg_probability: float
    fingerprint: str
    seg_space: str
    def __init__(self, answer: _Optional[str] = ..., seg_embedding: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., seg_probability: _Optional[float] = ..., fingerprint: _Optional[str] = ..., seg_space: _Optional[str] = ...) -> None: ...

class Click(_message.Message):
    __slots__ = ("x", "y", "changed")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    changed: bool
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., changed: _Optional[bool] = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("detections",)
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    detections: _containers.RepeatedCompositeFieldContainer[Detection]
    def __init__(self, detections: _Optional[_Iterable[_Union[Detection, _Mapping]]] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("query", "answer", "model_answer", "seg_emitted", "seg_probability", "presence", "confidence", "threshold", "presence_threshold", "changed_fraction", "change_map_png", "change_map", "probability", "polygons_geojson", "place_count", "fingerprints", "timings_s", "meaning")
    class FingerprintsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class TimingsSEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ANSWER_FIELD_NUMBER: _ClassVar[int]
    SEG_EMITTED_FIELD_NUMBER: _ClassVar[int]
    SEG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_MAP_PNG_FIELD_NUMBER: _ClassVar[int]
    CHANGE_MAP_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    POLYGONS_GEOJSON_FIELD_NUMBER: _ClassVar[int]
    PLACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINTS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_S_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    query: str
    answer: str
    model_answer: str
    seg_emitted: bool
    seg_probability: float
    presence: float
    confidence: float
    threshold: float
    presence_threshold: float
    changed_fraction: float
    change_map_png: bytes
    change_map: _tensor_pb2.Tensor
    probability: _tensor_pb2.Tensor
    polygons_geojson: str
    place_count: int
    fingerprints: _containers.ScalarMap[str, str]
    timings_s: _containers.ScalarMap[str, float]
    meaning: Meaning
    def __init__(self, query: _Optional[str] = ..., answer: _Optional[str] = ..., model_answer: _Optional[str] = ..., seg_emitted: _Optional[bool] = ..., seg_probability: _Optional[float] = ..., presence: _Optional[float] = ..., confidence: _Optional[float] = ..., threshold: _Optional[float] = ..., presence_threshold: _Optional[float] = ..., changed_fraction: _Optional[float] = ..., change_map_png: _Optional[bytes] = ..., change_map: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., probability: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., polygons_geojson: _Optional[str] = ..., place_count: _Optional[int] = ..., fingerprints: _Optional[_Mapping[str, str]] = ..., timings_s: _Optional[_Mapping[str, float]] = ..., meaning: _Optional[_Union[Meaning, _Mapping]] = ...) -> None: ...

class DetectStreamRequest(_message.Message):
    __slots__ = ("detect",)
    DETECT_FIELD_NUMBER: _ClassVar[int]
    detect: DetectRequest
    def __init__(self, detect: _Optional[_Union[DetectRequest, _Mapping]] = ...) -> None: ...

class DetectStreamResponse(_message.Message):
    __slots__ = ("progress", "text", "mask", "done")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    progress: DetectProgress
    text: DetectText
    mask: DetectMask
    done: DetectDone
    def __init__(self, progress: _Optional[_Union[DetectProgress, _Mapping]] = ..., text: _Optional[_Union[DetectText, _Mapping]] = ..., mask: _Optional[_Union[DetectMask, _Mapping]] = ..., done: _Optional[_Union[DetectDone, _Mapping]] = ...) -> None: ...

class DetectProgress(_message.Message):
    __slots__ = ("stage", "done", "total")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class DetectText(_message.Message):
    __slots__ = ("query", "text")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    query: int
    text: str
    def __init__(self, query: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class DetectMask(_message.Message):
    __slots__ = ("query", "detection")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    DETECTION_FIELD_NUMBER: _ClassVar[int]
    query: int
    detection: Detection
    def __init__(self, query: _Optional[int] = ..., detection: _Optional[_Union[Detection, _Mapping]] = ...) -> None: ...

class DetectDone(_message.Message):
    __slots__ = ("detections",)
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    detections: int
    def __init__(self, detections: _Optional[int] = ...) -> None: ...

from reasoncd.v1 import describe_pb2 as _describe_pb2
from reasoncd.v1 import features_pb2 as _features_pb2
from reasoncd.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_SHORT: _ClassVar[Mode]
    MODE_EXPLAINED: _ClassVar[Mode]
MODE_UNSPECIFIED: Mode
MODE_SHORT: Mode
MODE_EXPLAINED: Mode

class ReasonRequest(_message.Message):
    __slots__ = ("clip_tokens", "query", "mode", "whole")
    CLIP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    clip_tokens: _features_pb2.Features
    query: str
    mode: Mode
    whole: bool
    def __init__(self, clip_tokens: _Optional[_Union[_features_pb2.Features, _Mapping]] = ..., query: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., whole: _Optional[bool] = ...) -> None: ...

class ReasonResponse(_message.Message):
    __slots__ = ("need_features", "text", "done", "origin")
    NEED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    need_features: _features_pb2.NeedFeatures
    text: ReasonText
    done: ReasonDone
    origin: _describe_pb2.Origin
    def __init__(self, need_features: _Optional[_Union[_features_pb2.NeedFeatures, _Mapping]] = ..., text: _Optional[_Union[ReasonText, _Mapping]] = ..., done: _Optional[_Union[ReasonDone, _Mapping]] = ..., origin: _Optional[_Union[_describe_pb2.Origin, _Mapping]] = ...) -> None: ...

class ReasonText(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ReasonDone(_message.Message):
    __slots__ = ("answer", "seg_embedding", "seg_probability", "token_count")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SEG_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    SEG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    answer: str
    seg_embedding: _tensor_pb2.Tensor
    seg_probability: float
    token_count: int
    def __init__(self, answer: _Optional[str] = ..., seg_embedding: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., seg_probability: _Optional[float] = ..., token_count: _Optional[int] = ...) -> None: ...

from reasoncd.v1 import describe_pb2 as _describe_pb2
from reasoncd.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EncodeForReasoningRequest(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _tensor_pb2.Tensor
    def __init__(self, images: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class EncodeForReasoningResponse(_message.Message):
    __slots__ = ("clip_tokens", "origin")
    CLIP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    clip_tokens: _tensor_pb2.Tensor
    origin: _describe_pb2.Origin
    def __init__(self, clip_tokens: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., origin: _Optional[_Union[_describe_pb2.Origin, _Mapping]] = ...) -> None: ...

class EncodeForDecodingRequest(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _tensor_pb2.Tensor
    def __init__(self, images: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class EncodeForDecodingResponse(_message.Message):
    __slots__ = ("fused_map", "origin")
    FUSED_MAP_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    fused_map: _tensor_pb2.Tensor
    origin: _describe_pb2.Origin
    def __init__(self, fused_map: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., origin: _Optional[_Union[_describe_pb2.Origin, _Mapping]] = ...) -> None: ...

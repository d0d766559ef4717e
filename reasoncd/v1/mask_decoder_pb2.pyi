from reasoncd.v1 import describe_pb2 as _describe_pb2
from reasoncd.v1 import features_pb2 as _features_pb2
from reasoncd.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecodeRequest(_message.Message):
    __slots__ = ("fused_map", "seg_embeddings", "clicks", "boxes", "previous_logits")
    FUSED_MAP_FIELD_NUMBER: _ClassVar[int]
    SEG_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_LOGITS_FIELD_NUMBER: _ClassVar[int]
    fused_map: _features_pb2.Features
    seg_embeddings: _tensor_pb2.Tensor
    clicks: Clicks
    boxes: _tensor_pb2.Tensor
    previous_logits: _tensor_pb2.Tensor
    def __init__(self, fused_map: _Optional[_Union[_features_pb2.Features, _Mapping]] = ..., seg_embeddings: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., clicks: _Optional[_Union[Clicks, _Mapping]] = ..., boxes: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., previous_logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Clicks(_message.Message):
    __slots__ = ("points", "labels")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    points: _tensor_pb2.Tensor
    labels: _tensor_pb2.Tensor
    def __init__(self, points: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., labels: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class DecodeResponse(_message.Message):
    __slots__ = ("need_features", "masks", "origin")
    NEED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    need_features: _features_pb2.NeedFeatures
    masks: DecodedMasks
    origin: _describe_pb2.Origin
    def __init__(self, need_features: _Optional[_Union[_features_pb2.NeedFeatures, _Mapping]] = ..., masks: _Optional[_Union[DecodedMasks, _Mapping]] = ..., origin: _Optional[_Union[_describe_pb2.Origin, _Mapping]] = ...) -> None: ...

class DecodedMasks(_message.Message):
    __slots__ = ("logits", "presence", "quality")
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    logits: _tensor_pb2.Tensor
    presence: _tensor_pb2.Tensor
    quality: _tensor_pb2.Tensor
    def __init__(self, logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., presence: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., quality: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Component(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPONENT_UNSPECIFIED: _ClassVar[Component]
    COMPONENT_VISION_ENCODER: _ClassVar[Component]
    COMPONENT_REASONER: _ClassVar[Component]
    COMPONENT_MASK_DECODER: _ClassVar[Component]
COMPONENT_UNSPECIFIED: Component
COMPONENT_VISION_ENCODER: Component
COMPONENT_REASONER: Component
COMPONENT_MASK_DECODER: Component

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("description", "limits")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    description: Description
    limits: Limits
    def __init__(self, description: _Optional[_Union[Description, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("component", "version", "preset", "fingerprint", "seg_space", "image_size", "presence_threshold", "probability_threshold", "tensors")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SEG_SPACE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    component: Component
    version: str
    preset: str
    fingerprint: str
    seg_space: str
    image_size: int
    presence_threshold: float
    probability_threshold: float
    tensors: _containers.RepeatedCompositeFieldContainer[TensorShape]
    def __init__(self, component: _Optional[_Union[Component, str]] = ..., version: _Optional[str] = ..., preset: _Optional[str] = ..., fingerprint: _Optional[str] = ..., seg_space: _Optional[str] = ..., image_size: _Optional[int] = ..., presence_threshold: _Optional[float] = ..., probability_threshold: _Optional[float] = ..., tensors: _Optional[_Iterable[_Union[TensorShape, _Mapping]]] = ...) -> None: ...

class TensorShape(_message.Message):
    __slots__ = ("name", "dtype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "requests", "cache_bytes")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    requests: int
    cache_bytes: int
    def __init__(self, message_bytes: _Optional[int] = ..., requests: _Optional[int] = ..., cache_bytes: _Optional[int] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("fingerprint", "seg_space")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SEG_SPACE_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    seg_space: str
    def __init__(self, fingerprint: _Optional[str] = ..., seg_space: _Optional[str] = ...) -> None: ...

"""What a caller asks, checked as far as it can be before anything is decoded."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.checks import check_queries, check_threshold
from gateway.detection import Click, Meaning
from gateway.images import ImagePair, decode_image, pair_images
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Mode


class MapFormat(StrEnum):
    """How the change map is sent."""

    PNG = "png"
    TENSOR = "tensor"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageNames:
    """What the two images are called where they come in; for messages."""

    t1: str
    t2: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """One pair and the questions about it.

    Raises:
        InvalidInputError: a field cannot be used; the sentence names it.
    """

    image_t1: bytes
    """The earlier image, a file."""
    image_t2: bytes
    queries: tuple[str, ...]
    mode: Mode = Mode.SHORT
    threshold: float | None = None
    meanings: tuple[Meaning, ...] | None = None
    """One a question, where they are known."""
    clicks: tuple[Click, ...] = ()
    with_probability: bool = False
    map_format: MapFormat = MapFormat.PNG
    names: ImageNames
    image_bytes: int
    """Bound of one image's bytes."""

    def __post_init__(self) -> None:
        for data, name in ((self.image_t1, self.names.t1), (self.image_t2, self.names.t2)):
            if not data:
                raise InvalidInputError(f"{name} is missing or empty; send a PNG, JPEG or TIFF image")
            if len(data) > self.image_bytes:
                raise InvalidInputError(
                    f"{name} has {len(data)} bytes, more than the {self.image_bytes} that are taken; "
                    "save it as PNG or cut it into smaller images"
                )
        check_queries(self.queries)
        check_threshold(self.threshold)

    def decode(self) -> ImagePair:
        """The pixels.

        Raises:
            InvalidInputError: an image cannot be used, or the two do not match each other.
        """
        first = decode_image(self.image_t1, self.names.t1)
        second = decode_image(self.image_t2, self.names.t2)
        return pair_images(first, second, self.names.t1, self.names.t2)

"""Drawn pictures inside a page: made smaller, and written into it, so that the page is one file."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from reasoncd.errors import CorruptDataError, NotFoundError

WIDEST = 1200
"""In pixels; the words in a picture can still be read."""
_QUALITY = 80
_CASE = re.compile(r"(?P<kind>[a-z]+)-(?P<rank>best|worst|false)-(?P<number>\d+)-(?P<level>.+)")
_GROUPS = {
    "best": "Best answers",
    "worst": "Worst answers",
    "false": "Most falsely marked",
    "other": "Real pairs",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture of a page."""

    group: str
    """The heading that it stands under."""
    caption: str
    data: str
    """As a `data:` address."""


def read_pictures(folder: Path) -> list[Picture]:
    """All PNG files of a folder, best and worst first, by name within a group.

    Args:
        folder: as `benchmarks.figures.gallery` fills it.

    Raises:
        NotFoundError: there is no such folder, or it holds no picture.
        CorruptDataError: a file is no picture.
    """
    paths = sorted(folder.glob("*.png")) if folder.is_dir() else []
    if not paths:
        raise NotFoundError(f"{folder} holds no pictures; name the folder that they were drawn into")
    order = list(_GROUPS.values())
    return sorted((_read(path) for path in paths), key=lambda picture: order.index(picture.group))


def _read(path: Path) -> Picture:
    match = _CASE.fullmatch(path.stem)
    group = _GROUPS[match["rank"] if match else "other"]
    caption = (
        f"{match['kind']} pairs, {match['rank']} {match['number']}, level {match['level']}"
        if match
        else path.stem
    )
    return Picture(group=group, caption=caption, data=_encoded(path))


def _encoded(path: Path) -> str:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"{path} is no picture; draw it again or remove it") from error
    if picture.width > WIDEST:
        height = max(1, round(picture.height * WIDEST / picture.width))
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

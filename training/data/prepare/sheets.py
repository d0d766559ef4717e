"""Contact sheets to look at before anything is trained: T1, T2, the mask, and T2 with the mask on it.

A wrong date order, a shifted mask or a misread colour shows here at a glance and in no table.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from training.data.mask_files import CHANGED_GREY, UNKNOWN_GREY
from training.data.parts import PARTS, Part
from training.data.prepare.record import SetRecord, WrittenSample

ROWS_PER_SHEET = 8
_PANEL, _GAP, _MARGIN, _TEXT, _HEAD = 224, 8, 20, 44, 44
_PAPER, _INK, _SOFT, _ACCENT = (255, 255, 255), (24, 28, 34), (92, 100, 112), (255, 0, 150)
_EMPTY_SHARE = 4
"""One row in so many shows a sample without change, where there are any."""
_COLUMNS = ("T1, earlier", "T2, later", "mask (grey: unknown)", "T2 with the mask")


def draw_sheets(
    folder: Path,
    title: str,
    split: str,
    parts: Mapping[str, Part],
    record: SetRecord,
    *,
    rows: int,
    seed: int,
) -> int:
    """Draw the sheets of every part as PNG files: `train-1.png`, or `spatial-train-1.png`.

    Args:
        folder: where they go; must be there.
        title: of the set.
        split: name of the way to split, "" for the only one.
        parts: pair -> part.
        record: the samples, whose files are there.
        rows: samples of each part that are shown.
        seed: of the choice among the samples.

    Returns:
        How many sheets were drawn.
    """
    drawn = 0
    for part in PARTS:
        name = f"{split}-{part}" if split else part
        chosen = choose(record.of_part(parts, part), rows, seed)
        for number, start in enumerate(range(0, len(chosen), ROWS_PER_SHEET), start=1):
            head = f"{title}: {name}, sheet {number} of {-(-len(chosen) // ROWS_PER_SHEET)}"
            sheet = draw_sheet(head, chosen[start : start + ROWS_PER_SHEET])
            sheet.save(folder / f"{name}-{number}.png")
            drawn += 1
    return drawn


def choose(samples: Sequence[WrittenSample], count: int, seed: int) -> list[WrittenSample]:
    """Samples to show: every class and direction in turn, from different places, some without change."""
    rng = np.random.default_rng(seed)
    shuffled = [samples[int(i)] for i in rng.permutation(len(samples))]
    empty = [written for written in shuffled if not written.changed]
    there: dict[str, list[WrittenSample]] = {}
    for written in shuffled:
        if written.changed:
            there.setdefault(written.meaning, []).append(written)
    room = count - min(len(empty), max(count // _EMPTY_SHARE, count - (len(shuffled) - len(empty))))
    chosen: list[WrittenSample] = []
    seen: set[str] = set()
    waiting = deque(sorted(there))
    while waiting and len(chosen) < room:
        offered = there[waiting[0]]
        # A pair that is not on the sheets yet, if this class and direction has one.
        picked = next((written for written in offered if written.pair not in seen), offered[0])
        offered.remove(picked)
        seen.add(picked.pair)
        chosen.append(picked)
        waiting.rotate(-1)
        if not offered:
            waiting.pop()
    return [*chosen, *empty[: count - len(chosen)]]


def draw_sheet(head: str, samples: Sequence[WrittenSample]) -> Image.Image:
    """One sheet as an RGB picture."""
    width = 2 * _MARGIN + len(_COLUMNS) * _PANEL + (len(_COLUMNS) - 1) * _GAP
    row_height = _TEXT + _PANEL + _GAP
    sheet = Image.new("RGB", (width, _HEAD + 24 + len(samples) * row_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 12), _fitted(head, _font(20), width), font=_font(20), fill=_INK)
    for column, words in enumerate(_COLUMNS):
        draw.text((_left(column), _HEAD), words, font=_font(13), fill=_SOFT)
    for number, written in enumerate(samples):
        top = _HEAD + 24 + number * row_height
        for line, words in enumerate(_captions(written)):
            colour = _SOFT if line else _INK
            font = _font(14)
            draw.text((_MARGIN, top + 4 + 18 * line), _fitted(words, font, width), font=font, fill=colour)
        for column, panel in enumerate(_panels(written)):
            sheet.paste(panel, (_left(column), top + _TEXT))
    return sheet


def _captions(written: WrittenSample) -> tuple[str, str]:
    sample = written.sample
    share = f"{written.changed / written.known:.1%} changed" if written.changed else "no change"
    hidden = " of what is known" if written.changed and UNKNOWN_GREY in _mask(sample.mask_path) else ""
    level = sample.level or "level not told"
    return (
        f"{written.pair}   {written.meaning}   {level}   {share}{hidden}",
        f"{sample.question}  ->  {sample.answer}",
    )


def _panels(written: WrittenSample) -> list[Image.Image]:
    with Image.open(written.sample.img1_path) as one, Image.open(written.sample.img2_path) as two:
        scale = _PANEL / max(one.size)
        size = max(1, round(one.width * scale)), max(1, round(one.height * scale))
        first, second = (
            picture.convert("RGB").resize(size, Image.Resampling.LANCZOS) for picture in (one, two)
        )
    mask = Image.fromarray(_mask(written.sample.mask_path)).resize(size, Image.Resampling.NEAREST)
    return [first, second, mask.convert("RGB"), _marked(second, mask)]


def _marked(panel: Image.Image, mask: Image.Image) -> Image.Image:
    """The mask as a tint with an outline; what is unknown is greyed."""
    changed = mask.point(lambda grey: 255 if grey == CHANGED_GREY else 0)
    unknown = mask.point(lambda grey: 255 if grey == UNKNOWN_GREY else 0)
    out = Image.composite(
        Image.blend(panel, Image.new("RGB", panel.size, (128, 128, 128)), 0.7), panel, unknown
    )
    out = Image.composite(Image.blend(out, Image.new("RGB", panel.size, _ACCENT), 0.25), out, changed)
    outline = ImageChops.subtract(changed.filter(ImageFilter.MaxFilter(3)), changed)
    out.paste(_ACCENT, mask=outline)
    return out


def _mask(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.array(picture, dtype=np.uint8)


def _left(column: int) -> int:
    return _MARGIN + column * (_PANEL + _GAP)


def _fitted(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The words, cut with three dots where the sheet is too narrow."""
    room = width - 2 * _MARGIN
    while font.getlength(words) > room and len(words) > 8:
        words = words[: int(0.95 * len(words)) - 3] + "..."
    return words


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

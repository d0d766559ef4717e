"""`report.html`: what was asked, answered and found, as one page that needs no other file."""

import base64
import heapq
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gateway import wording
from gateway.pictures import overlay
from gateway.polygons import Place
from gateway.scenes.ground import Ground
from gateway.scenes.pair import ScenePair
from gateway.scenes.settings import SceneResult, SceneSettings

REPORT_FILE = "report.html"
PICTURE_SIDE = 896
"""Longest side of the pictures, in pixels."""

_LARGEST = 10


class LargestPlaces:
    """The few largest regions, kept while all are passing by."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Place]] = []
        self._seen = 0

    def add(self, place: Place) -> None:
        """Take notice of the next region, in the order of their numbers."""
        self._seen += 1
        # Of equals the earlier one is kept: its negated number is the larger one.
        heapq.heappush(self._heap, (place.area_px, -self._seen, place))
        if len(self._heap) > _LARGEST:
            heapq.heappop(self._heap)

    def rows(self, ground: Ground | None) -> list[dict[str, Any]]:
        """Largest first, as the page shows them."""
        places = sorted(self._heap, reverse=True)
        if not places:
            return []
        polygons = [place.polygon for _, _, place in places]
        areas = ground.areas_m2(polygons).tolist() if ground else [None] * len(places)
        points = [polygon.representative_point() for polygon in polygons]
        rows = []
        for (pixels, number, place), area, point in zip(places, areas, points, strict=True):
            where = f"column {point.x:.0f}, row {point.y:.0f}"
            if ground:
                lon, lat = ground.point_degrees(point.x, point.y)
                where = f"{lat:.6f}, {lon:.6f} (latitude, longitude)"
            rows.append(
                {
                    "id": -number,
                    "area": area_text(area) if area is not None else f"{pixels:,} pixels",
                    "probability": f"{place.mean_probability:.2f}",
                    "where": where,
                }
            )
        return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Picture:
    caption: str
    data: str
    """A data URL."""


def write_report(
    result: SceneResult,
    scene: ScenePair,
    settings: SceneSettings,
    *,
    change: NDArray[np.bool_],
    largest: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> str:
    """The page as text; equal runs give equal text.

    Args:
        result: of the run.
        scene: is pictured.
        settings: of the run.
        change: (h, w), the reduced map, of the size of `scene.overview(PICTURE_SIDE)`.
        largest: rows of the largest regions.
        facts: further settings to show, by their names.
    """
    images = scene.overview(PICTURE_SIDE).images
    shown = {**facts, **settings.of_outputs()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.scenes", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        result=result,
        pictures=_pictures(images, change, result),
        areas=_areas(result),
        largest=largest,
        bars=_bars(result),
        ticks=[{"x": 20 + 600 * step / 4, "text": f"{step / 4:.2f}"} for step in range(5)],
        threshold=f"{result.threshold:.3g}",
        settings=[(name.replace("_", " "), value) for name, value in shown.items()],
        fingerprints=list(result.fingerprints.items()),
    )


def area_text(square_metres: float) -> str:
    """An area in the unit that suits its size."""
    if square_metres >= 1e6:
        return f"{square_metres / 1e6:,.2f} km²"
    if square_metres >= 1e4:
        return f"{square_metres / 1e4:,.2f} ha"
    return f"{square_metres:,.0f} m²"


def _pictures(images: NDArray[np.uint8], change: NDArray[np.bool_], result: SceneResult) -> list[_Picture]:
    # The same three panels as for a single pair, under the question and the answer.
    picture = overlay(images, change, query=result.query, answer=result.answer)
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=88)
    caption = "The earlier scene, the later scene, and where it changed; both reduced to fit"
    return [_Picture(caption=caption, data=_data_url(kept.getvalue(), "image/jpeg")), _map(change)]


def _map(change: NDArray[np.bool_]) -> _Picture:
    kept = io.BytesIO()
    Image.fromarray(change.astype(np.uint8) * 255).convert("1").save(kept, "PNG")
    return _Picture(
        caption="The map, reduced: white where any pixel changed",
        data=_data_url(kept.getvalue(), "image/png"),
    )


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _areas(result: SceneResult) -> list[tuple[str, str]]:
    rows = [
        (
            "Changed",
            f"{wording.percent(result.changed_fraction)} of the valid area"
            if result.changed_pixels
            else "nothing",
        ),
        ("Changed pixels", f"{result.changed_pixels:,} of {result.valid_pixels:,} valid ones"),
        ("Places", f"{result.places:,}"),
        ("Outlined", f"{result.polygons:,}"),
    ]
    if result.area_m2 is not None:
        rows.insert(1, ("Outlined area", area_text(result.area_m2)))
    rows.append(("Presence", f"{result.presence:.2f}"))
    rows.append(("Confidence", "-" if result.confidence is None else f"{result.confidence:.2f}"))
    return rows


def _bars(result: SceneResult) -> list[dict[str, Any]]:
    bins = len(result.histogram)
    tallest = math.log1p(max(result.histogram, default=0)) or 1.0
    width = 600 / bins
    bars = []
    for number, count in enumerate(result.histogram):
        height = 120 * math.log1p(count) / tallest
        low, high = number / bins, (number + 1) / bins
        bars.append(
            {
                "x": round(20 + number * width + 1, 2),
                "y": round(140 - height, 2),
                "width": round(width - 2, 2),
                "height": round(height, 2),
                "above": high > result.threshold,
                "title": f"{low:.2f} to {high:.2f}: {count:,} pixels",
            }
        )
    return bars

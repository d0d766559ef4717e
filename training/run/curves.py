"""Losses and validation figures of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, float]]

_NO_LOSSES = ("update", "learning_rate", "seconds_per_step")
_WIDTH, _HEIGHT = 12.0, 3.6
"""Of one panel, in inches."""


def draw_curves(path: Path, training: Rows, validation: Rows) -> None:
    """Draw a picture that replaces the one before it.

    Args:
        path: a PNG file.
        training: rows of `update`, losses and `learning_rate`.
        validation: rows of `update` and figures; those in [0, 1] are shares and share one panel.
    """
    if not training and not validation:
        return
    # It takes a second to import. No pyplot: that keeps figures in a global state.
    from matplotlib.figure import Figure

    losses = _names(training, _NO_LOSSES)
    figures = _names(validation, ("update", *losses))
    shares = [n for n in figures if all(0 <= row[n] <= 1 for row in validation if n in row)]
    upper, lower = bool(losses), bool(shares)
    figure = Figure(figsize=(_WIDTH, _HEIGHT * max(upper + lower, 1)), layout="constrained")
    places = _axes(figure, upper + lower)
    if upper:
        axes = places[0]
        for number, name in enumerate(losses):
            _line(axes, training, name, bold=name == "loss", color=f"C{number}")
            # The same loss on validation samples, where it was taken there.
            _line(axes, validation, name, bold=name == "loss", color=f"C{number}", style="--")
        positive = all(
            row[n] > 0 for rows in (training, validation) for row in rows for n in losses if n in row
        )
        axes.set_yscale("log" if positive else "linear")
        axes.set_title(
            "losses; dashed: validation" if set(losses) & _known(validation) else "losses", loc="left"
        )
    if lower:
        axes = places[-1]
        for name in shares:
            _line(axes, validation, name, bold=name == "f1")
        if "f1" in shares:
            best = max((row for row in validation if "f1" in row), key=lambda row: row["f1"])
            axes.annotate(f"{best['f1']:.3f}", (best["update"], best["f1"]), ha="center", va="bottom")
        axes.set_title("validation", loc="left")
    for axes in places:
        axes.set_xlabel("update")
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False)
    part = path.with_suffix(".part")
    figure.savefig(part, format="png", dpi=90)
    part.replace(path)


def _line(
    axes: Any, rows: Rows, name: str, *, bold: bool, color: str | None = None, style: str = "-"
) -> None:
    found = [(row["update"], row[name]) for row in rows if name in row]
    if found:
        axes.plot(
            *zip(*found, strict=True),
            style,
            color=color,
            label=f"{name} {found[-1][1]:.3g}",
            marker="." if len(found) < 40 else None,
            linewidth=2.5 if bold else 1.0,
        )


def _known(rows: Rows) -> set[str]:
    return {name for row in rows for name in row}


def _names(rows: Rows, without: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name not in without))


def _axes(figure: Any, count: int) -> list[Any]:
    return [figure.add_subplot(count, 1, i + 1) for i in range(count)]

"""The data card of a prepared set: where it comes from, how it was split, and what is in it, counted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from training.data.parts import PARTS, Part
from training.data.prepare.pair import SetDescription
from training.data.prepare.record import SetRecord, WrittenSample
from training.data.sample_labels import LEVELS

_UNTOLD = "not told"


def data_card(
    description: SetDescription, record: SetRecord, splits: Mapping[str, Mapping[str, Part]]
) -> str:
    """The card as Markdown."""
    d = description
    lines = [f"# {d.title}, prepared for ReasonCD", "", d.about, ""]
    lines += [f"- **Source:** {d.source}", f"- **Terms:** {d.terms}", f"- **Labels:** {d.labels}"]
    lines += [
        f"- **Pairs:** {len(record.groups):,} of {_sizes(record)} pixels, {len(record.samples):,} samples"
    ]
    lines += [f"- {note}" for note in d.notes]
    lines += [
        "",
        "Images and labels keep the terms of their source. Masks: 0 unchanged, 255 changed, 128 unknown.",
    ]
    for name, parts in splits.items():
        lines += ["", f"## {_heading(name)}", "", d.split.get(name, ""), ""]
        lines += _parts_table(record, parts)
        lines += ["", *_targets_table(record, parts)]
        lines += ["", *_levels_table(record, parts)]
    lines += ["", "## Left out", "", *_dropped(record)]
    return "\n".join(lines) + "\n"


def _heading(split: str) -> str:
    return f"The {split} split" if split else "Parts"


def _sizes(record: SetRecord) -> str:
    common = record.sizes.most_common(3)
    text = ", ".join(f"{width} x {height}" for (width, height), _ in common)
    return text + (f" and {len(record.sizes) - 3} other sizes" if len(record.sizes) > 3 else "")


def _parts_table(record: SetRecord, parts: Mapping[str, Part]) -> list[str]:
    groups = {part: {record.groups[pair] for pair, p in parts.items() if p == part} for part in PARTS}
    pairs = Counter(parts.values())
    rows: list[tuple[object, ...]] = []
    for part in PARTS:
        samples = record.of_part(parts, part)
        empty = sum(not written.changed for written in samples)
        rows.append(
            (part, pairs[part], len(groups[part]), len(samples), empty, _share(samples))
        )  # fmt: skip
    left_out = len(record.groups) - len(parts)
    if left_out:
        pair_names = record.groups.keys() - parts.keys()
        samples = [written for written in record.samples if written.pair in pair_names]
        empty = sum(not written.changed for written in samples)
        groups_left = {record.groups[pair] for pair in pair_names}
        rows.append(("in no part", left_out, len(groups_left), len(samples), empty, _share(samples)))
    head = ("part", "pairs", "groups", "samples", "without change", "changed share of known pixels")
    return _table(head, rows)


def _targets_table(record: SetRecord, parts: Mapping[str, Part]) -> list[str]:
    """Per class and direction, how many samples of each part show the change, and its share in them."""
    by_part = {part: record.of_part(parts, part) for part in PARTS}
    meanings = dict.fromkeys(written.meaning for written in record.samples)
    rows = []
    for meaning in sorted(meanings):
        cells: list[object] = [meaning]
        for part in PARTS:
            asked = [w for w in by_part[part] if w.meaning == meaning]
            cells += [sum(w.changed > 0 for w in asked), sum(not w.changed for w in asked)]
        there = [w for p in PARTS for w in by_part[p] if w.meaning == meaning and w.changed]
        rows.append((*cells, _share(there)))
    head = ["class and direction"]
    head += [f"{part}: {kind}" for part in PARTS for kind in ("there", "not there")]
    return _table([*head, "changed share where it is there"], rows)


def _levels_table(record: SetRecord, parts: Mapping[str, Part]) -> list[str]:
    counts = {part: Counter(w.sample.level or _UNTOLD for w in record.of_part(parts, part)) for part in PARTS}
    levels = [level for level in (*LEVELS, _UNTOLD) if any(counts[part][level] for part in PARTS)]
    return _table(["level", *PARTS], [(level, *(counts[part][level] for part in PARTS)) for level in levels])


def _dropped(record: SetRecord) -> list[str]:
    if not record.dropped:
        return ["Nothing."]
    return _table(["what", "how many"], sorted(record.dropped.items()))


def _share(samples: Sequence[WrittenSample]) -> str:
    known = sum(written.known for written in samples)
    return f"{sum(written.changed for written in samples) / known:.2%}" if known else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines

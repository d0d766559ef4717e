"""`reasoncd-train prepare SET SOURCE OUT`: published change sets made into samples that training reads.

A set is written whole or not at all, beside a data card and contact sheets. What the set is called is
printed on the standard output with its counts; progress and errors go to the standard error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.errors import ReasonCDError

if TYPE_CHECKING:
    from training.data.prepare.pair import Progress
    from training.data.prepare.questions import AskConfig
    from training.data.prepare.record import SetRecord

# What reads pictures is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="prepare",
    help="Make a published change set into samples: checked, split, counted, and drawn to look at.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="Folder of the unpacked set.")]
Out = Annotated[Path, typer.Argument(help="Folder to write; must not hold anything yet.")]
Seed = Annotated[int, typer.Option(min=0, help="Of what is drawn by chance.")]
Rows = Annotated[
    int, typer.Option("--sheet-rows", min=0, help="Samples on the contact sheets of each part; 0 for none.")
]
Partial = Annotated[bool, typer.Option("--partial", help="Go on where the set is not the published one.")]
TileOrWhole = Annotated[
    int, typer.Option(min=0, help="Side of the tiles that pictures are cut into; 0 keeps them whole.")
]
Only = Annotated[str | None, typer.Option(help="Pattern of names such as 'ins_*'; others are passed over.")]
MainOnly = Annotated[
    bool, typer.Option("--main-only", help="Ask for gain and loss of the five main classes only.")
]
Smallest = Annotated[int, typer.Option(min=1, help="Pixels from which a change counts as there.")]
Absent = Annotated[int, typer.Option(min=0, help="Questions a pair about changes that are not there.")]
Implicit = Annotated[int, typer.Option(min=0, help="Implicit phrases for each change that is there.")]


@app.command()
def bcdd(
    source: Source,
    out: Out,
    tile: Annotated[int, typer.Option(min=1, help="Side of a tile in pixels.")] = 256,
    gap: Annotated[int, typer.Option(min=1, help="Tiles between two parts of the split by place.")] = 1,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
    partial: Partial = False,
) -> None:
    """BCDD (WHU building change): two large scenes, split at random and by place."""
    with _watched("cutting", "tile") as progress:
        from training.data.prepare.bcdd import BcddConfig, prepare_bcdd

        config = BcddConfig(tile=tile, gap=gap, seed=seed, partial=partial, sheet_rows=sheet_rows)
        record = prepare_bcdd(source, out, config, on_progress=progress)
    _say_done(out, record)


@app.command()
def second(
    source: Source,
    out: Out,
    ontology: Annotated[Path | None, typer.Option(help="Another reading of the colours, as YAML.")] = None,
    tile: TileOrWhole = 0,
    main_only: MainOnly = False,
    smallest: Smallest = 24,
    absent: Absent = 2,
    implicit: Implicit = 0,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
    partial: Partial = False,
) -> None:
    """SECOND: land cover of both dates -> gain, loss, change and transitions of each class."""
    with _watched("reading pairs") as progress:
        from training.data.prepare.label_maps import LabelMapsConfig
        from training.data.prepare.second import INNER, ONTOLOGY, prepare_second

        config = LabelMapsConfig(
            inner=INNER,
            tile=tile or None,
            seed=seed,
            partial=partial,
            sheet_rows=sheet_rows,
            ask=_ask(main_only, smallest, absent, implicit, seed),
        )
        record = prepare_second(source, out, config, ontology=ontology or ONTOLOGY, on_progress=progress)
    _say_done(out, record)


@app.command("levir-cd")
def levir_cd(
    source: Source,
    out: Out,
    tile: TileOrWhole = 256,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
    partial: Partial = False,
) -> None:
    """LEVIR-CD: changed buildings in its published parts."""
    with _watched("reading pairs") as progress:
        from training.data.prepare.folders import FoldersConfig
        from training.data.prepare.levir_cd import prepare_levir_cd

        config = FoldersConfig(tile=tile or None, seed=seed, partial=partial, sheet_rows=sheet_rows)
        record = prepare_levir_cd(source, out, config, on_progress=progress)
    _say_done(out, record)


@app.command()
def folders(
    source: Source,
    out: Out,
    target: Annotated[
        str, typer.Option(help="What 'changed' means: class.direction, or none.")
    ] = "building.change",
    question: Annotated[
        str | None, typer.Option(help="What is asked, instead of the target's words.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Regular expression: names that it finds alike stay in one part.")
    ] = None,
    only: Only = None,
    tile: TileOrWhole = 0,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
) -> None:
    """Any set of A/, B/ and label/ folders, as WHU and many others come."""
    with _watched("reading pairs") as progress:
        from training.data.prepare.folders import FoldersConfig, prepare_folders

        config = FoldersConfig(
            target=target,
            question=question,
            group=group,
            only=only,
            tile=tile or None,
            seed=seed,
            sheet_rows=sheet_rows,
        )
        record = prepare_folders(source, out, config, on_progress=progress)
    _say_done(out, record)


@app.command()
def oscd(
    source: Source,
    out: Out,
    tile: TileOrWhole = 256,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
    partial: Partial = False,
) -> None:
    """OSCD: urban change by Sentinel-2, from its bands or from A/, B/ and label/."""
    with _watched("reading cities", "city") as progress:
        from training.data.prepare.folder_sets import FolderSetConfig
        from training.data.prepare.oscd import prepare_oscd

        config = FolderSetConfig(tile=tile or None, seed=seed, partial=partial, sheet_rows=sheet_rows)
        record = prepare_oscd(source, out, config, on_progress=progress)
    _say_done(out, record)


@app.command("label-maps")
def label_maps(
    source: Source,
    out: Out,
    ontology: Annotated[Path, typer.Option(help="YAML file that says what each value or colour means.")],
    inner: Annotated[
        str, typer.Option("--folders", help="Earlier and later pictures, earlier and later labels.")
    ] = "A,B,labelA,labelB",
    only: Only = None,
    tile: TileOrWhole = 0,
    main_only: MainOnly = False,
    smallest: Smallest = 24,
    absent: Absent = 2,
    implicit: Implicit = 0,
    seed: Seed = 0,
    sheet_rows: Rows = 16,
) -> None:
    """Any set with label maps of both dates, and a file that says what the labels mean."""
    with _watched("reading pairs") as progress:
        from training.data.prepare.label_maps import LabelMapsConfig, prepare_label_maps

        config = LabelMapsConfig(
            inner=tuple(name.strip() for name in inner.split(",")),
            only=only,
            tile=tile or None,
            seed=seed,
            sheet_rows=sheet_rows,
            ask=_ask(main_only, smallest, absent, implicit, seed),
        )
        record = prepare_label_maps(source, out, ontology, config, on_progress=progress)
    _say_done(out, record)


def _ask(main_only: bool, smallest: int, absent: int, implicit: int, seed: int) -> "AskConfig":
    from training.data.prepare.questions import AskConfig

    return AskConfig(main_only=main_only, smallest=smallest, absent=absent, implicit=implicit, seed=seed)


def _say_done(out: Path, record: "SetRecord") -> None:
    left_out = ", ".join(f"{count:,} {what}" for what, count in sorted(record.dropped.items()))
    typer.echo(
        f"wrote {out}: {len(record.groups):,} pairs, {len(record.samples):,} samples"
        + (f"; left out: {left_out}" if left_out else "")
        + "; read its README.md and look at its sheets"
    )


@contextmanager
def _watched(what: str, unit: str = "pair") -> Iterator["Progress"]:
    """Show progress, and end with one sentence where something given cannot be used."""
    from training.run.progress import counted, standard_report

    try:
        with counted(standard_report(), what, unit, "writing the card and the sheets") as progress:
            yield progress
    except ReasonCDError as error:
        typer.echo(f"reasoncd-train: {error.message}", err=True)
        raise typer.Exit(error.exit_code) from None

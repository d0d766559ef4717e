"""Every method on the same pairs, the page, and a whole run with trainings of seconds."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks.baselines import comparison as baselines
from benchmarks.baselines import job as baselines_job
from benchmarks.baselines.change_difference import difference, difference_map, otsu_threshold
from benchmarks.baselines.comparison import (
    ALL_POSITIVE,
    DIFFERENCE,
    MODEL,
    QUERY,
    BaselineList,
    BaselinesResult,
    MethodResult,
    TrainedNet,
    building_lists,
    calibration_pairs,
    choose_threshold,
    measure_baselines,
)
from benchmarks.baselines.job import BaselinesConfig, run_baselines
from benchmarks.baselines.nets import BinaryChangeNet
from benchmarks.baselines.report import baselines_report, method_table, pair_table
from benchmarks.cli import app
from benchmarks.jobs import Machine
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.bank import BankConfig
from training.data.fixed_pairs import FixedPairs, pairs_sha256
from training.data.labels import UNKNOWN, LabelledPair, LandCover
from training.importers.imagenet import TIMM_MODEL
from training.metrics import Confusion

pytestmark = pytest.mark.unit

MakePipeline = Callable[..., Pipeline]
HOUSE = np.s_[4:12, 4:12]
"""Where `new_house` has its new building."""


class FixedNet(BinaryChangeNet):
    """Says a given probability where the later image differs, and nothing elsewhere."""

    def __init__(self, sure: float) -> None:
        torch.nn.Module.__init__(self)
        self.name, self.sure = "FC-EF", sure

    def probability(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        changed = (images[0] != images[1]).any(axis=-1)
        return np.where(changed, np.float32(self.sure), np.float32(0.1))


def _trained(sure: float, threshold: float, seed: int = 0) -> TrainedNet:
    return TrainedNet(
        name="FC-EF", seed=seed, net=FixedNet(sure), steps=3, seconds_per_step=0.5, threshold=threshold
    )


def _result(*nets: TrainedNet) -> BaselinesResult:
    return BaselinesResult(
        fingerprints={"reasoner": "ab" * 32}, minutes=20, bank="bank-of-tests", nets=nets, pairs=2, seed=0
    )


@pytest.fixture
def no_real_data(monkeypatch: pytest.MonkeyPatch, new_house: LabelledPair) -> None:
    """One list, of a new house, a change that nobody knows, and no change."""
    unknown = LabelledPair(
        image_t1=new_house.image_t1, image_t2=new_house.image_t2,
        land_t1=np.zeros_like(new_house.land_t1), land_t2=np.zeros_like(new_house.land_t2), origin="scene",
    )  # fmt: skip
    still = LabelledPair(
        image_t1=new_house.image_t1, image_t2=new_house.image_t1,
        land_t1=new_house.land_t1, land_t2=new_house.land_t1, origin="scene",
    )  # fmt: skip
    pairs = (new_house, unknown, still)

    def fixed(kind: str, *_: object, **__: object) -> FixedPairs:
        if kind != "scene":
            raise NotFoundError("no tiles")
        return FixedPairs(
            kind="scene", split="validation", seed=0, version=1, sha256=pairs_sha256(pairs), pairs=pairs
        )

    def no_pairs(*_: object) -> None:
        raise NotFoundError("no aerial pairs")

    monkeypatch.setattr(baselines, "validation_pairs", fixed)
    monkeypatch.setattr(baselines, "fotbcd_pairs", no_pairs)


def test_every_method_is_held_to_the_same_truth(make_pipeline: MakePipeline, no_real_data: None) -> None:
    result = _result(_trained(0.7, 0.6), _trained(0.5, 0.6, seed=1))
    measure_baselines(make_pipeline(), result.nets, result)
    assert result.missing == ["composite pairs", "footprint pairs", "real aerial pairs"]
    (one,) = result.lists
    assert one.names == ("scene 0", "scene 2"), "what nobody knows is left out"
    found = {(m.method, m.seed): m for m in one.methods}
    whole, house = 32 * 32, 64
    right = (Confusion(tp=house, tn=whole - house), Confusion(tn=whole))
    assert found[MODEL, None].scores == right
    assert found["FC-EF", 0].scores == right
    # The threshold is its own: this one is never sure enough.
    assert found["FC-EF", 1].scores == (Confusion(fn=house, tn=whole - house), Confusion(tn=whole))
    assert found[ALL_POSITIVE, None].scores == (Confusion(tp=house, fp=whole - house), Confusion(fp=whole))
    # The new roof shifts the colours of all, so that more than itself stands out.
    assert [c.tp for c in found[DIFFERENCE, None].scores] == [house, 0]
    counts = found["FC-EF", 1].score_counts
    assert counts is not None
    assert (counts.changed[10], counts.unchanged[2], sum(counts.unchanged)) == (
        64,
        2 * whole - 64,
        2 * whole - 64,
    )
    assert found[DIFFERENCE, None].score_counts is None


def test_a_failing_question_counts_as_an_empty_map(make_pipeline: MakePipeline, no_real_data: None) -> None:
    result = _result()
    measure_baselines(make_pipeline(broken=QUERY), (), result)
    assert [f.query for f in result.failures] == [QUERY, QUERY]
    model = result.lists[0].methods[0]
    assert model.method == MODEL
    assert sum(model.scores, Confusion()).tp == 0
    assert "2 questions failed and count as empty maps" in baselines_report(result)


def test_the_page_and_the_figures(make_pipeline: MakePipeline, no_real_data: None) -> None:
    result = _result(_trained(0.7, 0.6), _trained(0.5, 0.6, seed=1))
    measure_baselines(make_pipeline(), result.nets, result)
    page = baselines_report(result)
    for line in (
        "| model | 1.000 (1.000 to 1.000) | - | - | 1.000 |",
        # One training finds all and the other nothing.
        "| FC-EF | 0.500 (0.500 to 0.500) | -0.500 (-0.500 to -0.500) | 1.000, 0.000 | 0.500 |",
        "| 0.0 % |",
        "2 pairs, in 1 of which a building came or went",
        "- Not measured, since the images are not there: real aerial pairs.",
        "- 20 minutes of one thread for each network and training; training pairs `bank-of-tests`",
        "| FC-EF | 1 | 0.0 M | 3 | 0.50 s | 0.60 |",
    ):
        assert line in page, line
    restored = json.loads(json.dumps(result.as_json()))
    assert restored["report"] == "baselines"
    methods = restored["lists"][0]["methods"]
    assert [m["method"] for m in methods] == [MODEL, "FC-EF", "FC-EF", DIFFERENCE, ALL_POSITIVE]
    assert methods[0]["scores"] == [[64, 0, 0, 960], [0, 0, 0, 1024]]


def test_intervals_of_differences_resample_both_methods_together() -> None:
    # Both methods are right on hard and easy pairs alike, one of them a little less: their F1 varies much
    # more from draw to draw than its difference does.
    rng = np.random.default_rng(0)
    model, other = [], []
    for missed in rng.integers(0, 90, 40).tolist():
        model.append(Confusion(tp=100 - missed, fn=missed))
        other.append(Confusion(tp=95 - missed, fn=missed + 5))
    methods = tuple(
        MethodResult(method=name, seed=None, scores=tuple(found), score_counts=None)
        for name, found in ((MODEL, model), ("other", other))
    )
    names = tuple(str(i) for i in range(40))
    page = method_table(BaselineList(kind="scene", names=names, sha256="", methods=methods))
    row = page.splitlines()[3].split("|")
    low, high = (float(v) for v in row[2].split("(")[1].rstrip(") ").split(" to "))
    less_low, less_high = (float(v) for v in row[3].split("(")[1].rstrip(") ").split(" to "))
    assert high - low > 5 * (less_high - less_low)
    assert less_high < 0


def test_pairs_without_change_show_what_is_falsely_marked() -> None:
    scores = (Confusion(tp=1, fp=1, fn=0, tn=2), Confusion(fp=1, tn=3))
    one = BaselineList(
        kind="real", names=("a", "b"), sha256="",
        methods=(MethodResult(method=MODEL, seed=None, scores=scores, score_counts=None),),
    )  # fmt: skip
    assert "| a | 1 | 0.667 |" in pair_table(one)
    assert "| b | 0 | 25.0 % marked |" in pair_table(one)


def test_the_threshold_is_that_of_the_best_f1(new_house: LabelledPair) -> None:
    # At 0.7 the house, below it everything: all thresholds from 0.15 to 0.7 are as good, the first is taken.
    assert choose_threshold(FixedNet(0.7), [new_house]) == pytest.approx(0.15)

    class Unsure(FixedNet):
        def probability(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            found = np.full(images.shape[1:3], 0.31, dtype=np.float32)
            found[HOUSE] = 0.43
            return found

    assert choose_threshold(Unsure(0.0), [new_house]) == pytest.approx(0.35)


def test_without_change_there_is_no_threshold(new_house: LabelledPair) -> None:
    land = np.full((32, 32), LandCover.UNKNOWN, dtype=np.uint8)
    nothing = LabelledPair(
        image_t1=new_house.image_t1, image_t2=new_house.image_t2, land_t1=land, land_t2=land, origin="scene",
        building_change=np.full((32, 32), UNKNOWN, dtype=np.uint8),
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="no building changes in the pairs"):
        choose_threshold(FixedNet(0.7), [nothing])


def test_calibration_pairs_are_none_that_is_reported(tmp_path: Path) -> None:
    # Without tiles both are drawn scenes.
    root = tmp_path / "empty"
    root.mkdir()
    unseen = calibration_pairs(2, root)
    lists, missing = building_lists(2, 0, root)
    assert missing == ["composite pairs", "footprint pairs", "real aerial pairs"]
    reported = {pair.image_t1.tobytes() for _, pair in lists["scene"]}
    assert len(unseen) == 2
    assert not reported & {pair.image_t1.tobytes() for pair in unseen}


def test_otsu_leaves_the_least_variance_within() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.3, 900), rng.normal(4, 0.6, 100)]).astype(np.float32)
    found = otsu_threshold(values)
    within = [
        (low.size * low.var() + high.size * high.var(), cut)
        for cut in np.linspace(values.min(), values.max(), 257)[1:-1]
        for low, high in [(values[values < cut], values[values >= cut])]
    ]
    best = min(within)[0]
    low, high = values[values < found], values[values >= found]
    assert low.size * low.var() + high.size * high.var() == pytest.approx(best, rel=0.01)


def test_a_change_of_light_alone_is_no_difference() -> None:
    image = np.random.default_rng(0).integers(40, 100, (16, 16, 3), dtype=np.uint8)
    brighter = image * 2 + 10
    assert difference(np.stack([image, brighter])).max() < 1e-3
    assert not difference_map(np.stack([image, image])).any()


@pytest.fixture
def environment_restored() -> Iterator[None]:
    """DeepSpeed's settings must not reach the processes that later tests start."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_a_whole_run_of_seconds(
    make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment_restored: None,
) -> None:
    class Machinery(Machine):
        def engines(self) -> object:  # type: ignore[override]
            return type("Ready", (), {"pipeline": staticmethod(make_pipeline)})

    torch.manual_seed(0)
    state = timm.create_model(TIMM_MODEL, pretrained=False).state_dict()
    monkeypatch.setattr(baselines_job, "fetch_weights", lambda **_: Path("weights"))
    monkeypatch.setattr(baselines_job, "load_efficientnet_lite0", lambda _: state)
    root = tmp_path / "no-data"
    root.mkdir()
    monkeypatch.setenv("REASONCD_DATA", str(root))
    config = BaselinesConfig(
        minutes=0.001, seeds=2, nets=("FC-Siam-diff",), pairs=2, calibration=4,
        bank=BankConfig(count=8, size=64, real_data=False), folder=tmp_path / "cache",
    )  # fmt: skip
    out = tmp_path / "baselines.md"
    assert run_baselines(out, Machinery(), config) == 0
    figures = json.loads(out.with_suffix(".json").read_text())
    assert [(n["name"], n["seed"]) for n in figures["nets"]] == [("FC-Siam-diff", 0), ("FC-Siam-diff", 1)]
    assert [one["kind"] for one in figures["lists"]] == ["scene"]
    assert "## Rendered scenes" in out.read_text()
    weights = sorted(p.parent.name for p in (tmp_path / "cache").rglob("weights.safetensors"))
    assert weights == [f"fc-siam-diff-0.001min-b8-seed{i}" for i in (0, 1)]
    # A second run finds both trained.
    stamps = [p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("weights.safetensors")]
    assert run_baselines(out, Machinery(), config) == 0
    assert stamps == [p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("weights.safetensors")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"minutes": 0.0}, "minutes is 0.0"),
        ({"nets": ()}, "no network is named"),
        ({"nets": ("UNet",)}, "'UNet' is unknown"),
    ],
)
def test_unusable_settings_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        BaselinesConfig(**changes)  # type: ignore[arg-type]


def test_a_missing_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    words = ["baselines", "--checkpoint", gone, "--out", str(tmp_path / "page.md")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"reasoncd-bench: there is no checkpoint at {gone}" in done.output
    assert not (tmp_path / "page.md").exists()

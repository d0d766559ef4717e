"""The rounds, with a tiny real reasoner and the pipeline that reads colours."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from benchmarks.speed import rounds as speed
from benchmarks.speed.report import speed_report
from benchmarks.speed.rounds import SpeedConfig, SpeedResult, measure_rounds
from gateway.pipeline import Pipeline
from services.reasoner.build import build_reasoner
from services.reasoner.config import paper_tiny
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece
from training.data.labels import LabelledPair

pytestmark = pytest.mark.unit


def test_each_round_measures_everything_once(
    make_pipeline: Callable[..., Pipeline], new_house: LabelledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(kind: str, split: str, count: int, seed: int) -> SimpleNamespace:
        return SimpleNamespace(pairs=[new_house] * count)

    monkeypatch.setattr(speed, "validation_pairs", pairs)
    tokenizer = from_sentencepiece(generate_sentencepiece(words=("building", "road", "new")))
    model = build_reasoner(paper_tiny(), tokenizer, seed=0).eval()
    result = SpeedResult(
        config=SpeedConfig(rounds=2, starts=0), fingerprints={}, checkpoint_mib=1, threads=1, cores=1, load=0
    )
    measure_rounds(make_pipeline(), model, result)
    assert {len(times) for times in result.times.values()} == {2}
    assert {"cold query", "repeated query", "explained answer, prefix cached"} <= set(result.times)
    assert all(seconds > 0 for times in result.times.values() for seconds in times)
    # Guesses change the number of passes, never the tokens.
    assert result.same_tokens == 2
    assert len(result.explained_tokens) == 2
    assert "## Ratios within the run" in speed_report(result)

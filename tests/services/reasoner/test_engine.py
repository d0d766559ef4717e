from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reasoncd.checkpoint import COMPONENTS, Checkpoint, Thresholds, write_checkpoint
from reasoncd.config import to_dict
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Description, Mode, ReasonDone, Reasoner, ReasonEvent, ReasonText
from reasoncd.tensors import Tensor
from services.reasoner.build import build_reasoner, merge
from services.reasoner.config import paper_tiny
from services.reasoner.engine import ReasonerEngine
from services.reasoner.model import ReasonerModel
from services.reasoner.prompt import build_prompt
from services.reasoner.tokens import ReasonerTokenizer
from services.reasoner.weights import save_reasoner
from services.wire import from_torch, to_torch
from tests.services.reasoner.conftest import learn

MakeModel = Callable[..., ReasonerModel]
DESCRIPTION = Description(
    component="reasoner", version="1", preset="test", fingerprint="f" * 64, seg_space="seg-1"
)


def engine_of(model: ReasonerModel) -> ReasonerEngine:
    return ReasonerEngine(model, DESCRIPTION)


def features(seed: int = 0, *, tokens: int = 5, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return from_torch(torch.randn(2, tokens, width, generator=generator).bfloat16())


@pytest.fixture(scope="module")
def engine(make_model: MakeModel) -> ReasonerEngine:
    return engine_of(merge(taught(make_model(1), "Roofs rose. New buildings: <SEG>"), dtype=torch.float32))


def taught(model: ReasonerModel, answer: str) -> ReasonerModel:
    """A tiny model that gives one answer in explained mode on the first features."""
    clip = to_torch(features()).float().unsqueeze(0)
    prompts = [build_prompt(model.tokenizer, "houses", Mode.EXPLAINED)]

    def loss() -> torch.Tensor:
        out = model(clip, prompts, [answer])
        return torch.nn.functional.cross_entropy(out.answer_logits.flatten(0, 1), out.answer_labels.flatten())

    return learn(model, loss, enough=0.05)


def test_it_is_a_reasoner(engine: ReasonerEngine) -> None:
    port: Reasoner = engine
    assert port.describe() == DESCRIPTION


def test_explained_answers_stream_and_end_with_done(engine: ReasonerEngine) -> None:
    events = list(engine.reason(features(), "houses", Mode.EXPLAINED))
    *texts, done = events
    assert isinstance(done, ReasonDone)
    pieces = [e.text for e in texts if isinstance(e, ReasonText)]
    assert len(pieces) == len(texts) > 3
    assert "".join(pieces) == done.answer == "Roofs rose. New buildings"
    assert done.seg_embedding is not None
    assert (done.seg_embedding.dtype, done.seg_embedding.shape) == ("float32", (8,))
    assert 0 < done.seg_probability <= 1
    assert done.token_count >= len(pieces) + 2


def test_events_come_while_decoding_goes_on(engine: ReasonerEngine) -> None:
    events = engine.reason(features(), "houses", Mode.EXPLAINED)
    first = next(events)
    assert isinstance(first, ReasonText)
    # Decoding runs under inference mode; what the caller does in between must not.
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("mode", list(Mode))
def test_repeated_query_gives_the_same_bytes(engine: ReasonerEngine, mode: Mode) -> None:
    fresh = engine_of(engine._model)
    cold = list(fresh.reason(features(3), "trees", mode))
    list(fresh.reason(features(3), "something else", mode))
    assert list(fresh.reason(features(3), "trees", mode)) == cold


def test_digest_alone_serves_what_was_sent_before(engine: ReasonerEngine) -> None:
    fresh, sent = engine_of(engine._model), features(4)
    assert fresh.reason_cached(sent.digest, "trees", Mode.SHORT) is None
    cold = list(fresh.reason(sent, "trees", Mode.SHORT))
    warm = fresh.reason_cached(sent.digest, "trees", Mode.SHORT)
    assert warm is not None
    assert list(warm) == cold
    assert fresh.reason_cached(features(5).digest, "trees", Mode.SHORT) is None


def test_a_cache_of_no_bytes_changes_no_answer(make_model: MakeModel, engine: ReasonerEngine) -> None:
    model = make_model(9)
    expected = list(engine_of(model).reason(features(), "trees", Mode.SHORT))
    model.config = replace(model.config, prefix_cache_bytes=0)
    none = engine_of(model)
    assert list(none.reason(features(), "trees", Mode.SHORT)) == expected
    assert none.reason_cached(features().digest, "trees", Mode.SHORT) is None


def test_threads_get_the_answers_of_one_thread(engine: ReasonerEngine) -> None:
    jobs = [(features(n % 2), q, Mode.SHORT) for n in range(4) for q in ("trees", "new roads by the river")]
    expected = [list(engine.reason(*job)) for job in jobs]
    shared = engine_of(engine._model)
    with ThreadPoolExecutor(4) as pool:
        found: list[list[ReasonEvent]] = list(pool.map(lambda job: list(shared.reason(*job)), jobs))
    assert found == expected


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (features(tokens=4), r"expected bfloat16 \(2, 5, 12\)"),
        (features(width=13), r"expected bfloat16 \(2, 5, 12\)"),
        (from_torch(torch.zeros(2, 5, 12)), "float32"),
        (from_torch(torch.full((2, 5, 12), float("nan"), dtype=torch.bfloat16)), "NaN"),
    ],
)
def test_unusable_features_are_refused_before_any_event(
    engine: ReasonerEngine, bad: Tensor, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        engine.reason(bad, "trees", Mode.SHORT)


def test_unusable_queries_are_refused_before_any_event(engine: ReasonerEngine) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        engine.reason(features(), "  ", Mode.SHORT)
    # Few characters can be many tokens; the model's positions bound them.
    with pytest.raises(InvalidInputError, match=r"query takes \d+ tokens; shorten it to at most 4\d\d"):
        engine.reason(features(), "\U0001f332" * 400, Mode.SHORT)


def write(path: Path, model: ReasonerModel) -> Checkpoint:
    def writer(folder: Path) -> None:
        save_reasoner(model, folder / "reasoner", dtype=torch.float32)
        for other in ("vision_encoder", "mask_decoder"):
            (folder / other / "model.safetensors").write_bytes(
                (folder / "reasoner/projections.safetensors").read_bytes()
            )
        (folder / "README.md").write_text("# Test\n")

    return write_checkpoint(
        path,
        preset="paper_tiny",
        configs={c: to_dict(model.config) if c == "reasoner" else {} for c in COMPONENTS},
        thresholds=Thresholds(presence=0.5, probability=0.5),
        seg_space={"reasoner": "seg-1", "mask_decoder": "seg-1"},
        base_models={},
        writer=writer,
    )


def test_paper_tiny_is_exported_loaded_and_asked(llama_tokenizer: ReasonerTokenizer, tmp_path: Path) -> None:
    model = build_reasoner(paper_tiny(), llama_tokenizer).eval()
    checkpoint = write(tmp_path / "checkpoint", model)
    loaded = ReasonerEngine.from_checkpoint(Checkpoint.open(tmp_path / "checkpoint"))
    description = loaded.describe()
    assert (description.component, description.preset, description.seg_space) == (
        "reasoner",
        "paper_tiny",
        "seg-1",
    )
    assert description.fingerprint == checkpoint.fingerprint("reasoner")
    sent = features(tokens=256, width=32)
    direct = engine_of(merge(model, dtype=torch.float32))
    found, expected = (list(e.reason(sent, "new roads", Mode.SHORT))[-1] for e in (loaded, direct))
    assert isinstance(found, ReasonDone)
    assert isinstance(expected, ReasonDone)
    assert found.answer == expected.answer
    assert found.token_count == expected.token_count

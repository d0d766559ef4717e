"""One computation, many ways to it: caches, batches, padding, threads and order do not change an answer.

Everything runs on a checkpoint that was really trained and exported, in float32. Bytes are compared where the
same operations run; elsewhere values within 1e-4, and the same tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gateway.detection import Detection
from gateway.embedded import build_pipeline
from gateway.pipeline import Pipeline
from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict
from reasoncd.ontology import REFUSAL, SHORT_ANSWERS
from reasoncd.ports import Mode, ReasonDone
from reasoncd.tensors import Tensor
from services.mask_decoder.engine import MaskDecoderEngine
from services.reasoner.config import ReasonerConfig
from services.reasoner.engine import ReasonerEngine
from services.reasoner.generation import generate, generate_batch
from services.reasoner.guesses import Guesses
from services.reasoner.model import IGNORE, ReasonerModel
from services.reasoner.prefix_cache import prefill
from services.reasoner.prompt import build_prompt
from services.reasoner.weights import load_reasoner
from services.vision_encoder.engine import VisionEncoderEngine
from services.wire import to_torch

pytestmark = pytest.mark.contract

Images = NDArray[np.uint8]
CLOSE = 1e-4
QUERIES = ["new buildings", "Where did people get more living space?", "trees", "who won the match?"]


@pytest.fixture(scope="module")
def checkpoint(marking_checkpoint: Path) -> Checkpoint:
    return Checkpoint.open(marking_checkpoint)


@pytest.fixture(scope="module")
def reasoner(checkpoint: Checkpoint) -> ReasonerEngine:
    return ReasonerEngine.from_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def model(reasoner: ReasonerEngine) -> ReasonerModel:
    return reasoner._model


@pytest.fixture(scope="module")
def vision(checkpoint: Checkpoint) -> VisionEncoderEngine:
    return VisionEncoderEngine.from_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def decoder(checkpoint: Checkpoint) -> MaskDecoderEngine:
    return MaskDecoderEngine.from_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def clip(vision: VisionEncoderEngine, place: Images) -> torch.Tensor:
    """Patch tokens of two pairs, as the reasoner gets them: (2, T, N, C)."""
    both = [vision.encode_for_reasoning(images) for images in (place, place[::-1])]
    return torch.stack([to_torch(tokens) for tokens in both])


@pytest.fixture
def fresh(
    vision: VisionEncoderEngine, model: ReasonerModel, reasoner: ReasonerEngine, decoder: MaskDecoderEngine
) -> Callable[[], Pipeline]:
    """Makes pipelines on the same weights with empty caches."""
    return lambda: Pipeline(vision, ReasonerEngine(model, reasoner.describe()), decoder)


def facts(found: Detection) -> tuple[object, ...]:
    """All that a detection says but the seconds it took, arrays as their bytes."""
    plain = (getattr(found, name) for name in Detection.__slots__ if name != "timings_s")
    return tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in plain)


def assert_close(one: Detection, other: Detection) -> None:
    assert (one.model_answer, one.seg_emitted) == (other.model_answer, other.seg_emitted)
    assert one.seg_probability == pytest.approx(other.seg_probability, abs=CLOSE)
    assert one.presence == pytest.approx(other.presence, abs=CLOSE)
    np.testing.assert_allclose(one.probability, other.probability, atol=CLOSE, rtol=0)


def same_seg(one: torch.Tensor | None, other: torch.Tensor | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        torch.testing.assert_close(one, other, atol=CLOSE, rtol=0)


def test_the_checkpoint_can_tell_answers_apart(fresh: Callable[[], Pipeline], place: Images) -> None:
    """Without this the equalities below might hold between answers that are all alike."""
    one, other = fresh().detect(place, QUERIES[:2])
    assert one.seg_emitted
    assert np.ptp(one.probability) > 0.01
    assert one.seg_probability != other.seg_probability
    turned = fresh().detect(place[::-1], QUERIES[:1])[0]
    assert np.abs(turned.probability - one.probability).max() > 4 * CLOSE


@pytest.mark.parametrize("mode", list(Mode))
def test_cached_and_cold_answers_are_the_same_bytes(
    fresh: Callable[[], Pipeline], place: Images, mode: Mode
) -> None:
    warm = fresh()
    warm.detect(place, ["lost roads"])
    for query in QUERIES:
        cold = fresh().detect(place, [query], mode=mode)[0]
        assert facts(warm.detect(place, [query], mode=mode)[0]) == facts(cold)


def test_no_cache_at_all_gives_the_same_bytes(
    fresh: Callable[[], Pipeline],
    checkpoint: Checkpoint,
    vision: VisionEncoderEngine,
    decoder: MaskDecoderEngine,
    place: Images,
) -> None:
    reasoner = ReasonerEngine.from_checkpoint(checkpoint)
    config = replace(reasoner._model.config, prefix_cache_bytes=0)
    reasoner._model.config = config
    forgetful = Pipeline(vision, ReasonerEngine(reasoner._model, reasoner.describe()), decoder, cache_bytes=0)
    expected = fresh().detect(place, QUERIES[:2])
    for _ in range(2):
        assert [facts(d) for d in forgetful.detect(place, QUERIES[:2])] == [facts(d) for d in expected]


def test_asking_twice_gives_the_same_bytes(fresh: Callable[[], Pipeline], place: Images) -> None:
    pipeline = fresh()
    first = pipeline.detect(place, QUERIES)
    assert [facts(d) for d in pipeline.detect(place, QUERIES)] == [facts(d) for d in first]
    assert [facts(d) for d in pipeline.detect(place.copy(), QUERIES)] == [facts(d) for d in first]


def test_two_embedded_pipelines_give_the_same_bytes(marking_checkpoint: Path, place: Images) -> None:
    one, other = (build_pipeline(marking_checkpoint) for _ in range(2))
    larger = np.pad(place, ((0, 0), (0, 60), (0, 20), (0, 0)), mode="reflect")
    for images in (place, larger):
        found = [[facts(d) for d in p.detect(images, QUERIES[:2])] for p in (one, other)]
        assert found[0] == found[1]


def test_the_order_of_questions_does_not_matter(fresh: Callable[[], Pipeline], place: Images) -> None:
    forth, back = fresh().detect(place, QUERIES), fresh().detect(place, QUERIES[::-1])
    for one, other in zip(forth, back[::-1], strict=True):
        assert (one.query, one.seg_probability) == (other.query, other.seg_probability)
        assert_close(one, other)


def test_questions_together_equal_questions_alone(fresh: Callable[[], Pipeline], place: Images) -> None:
    for together, query in zip(fresh().detect(place, QUERIES), QUERIES, strict=True):
        assert_close(fresh().detect(place, [query])[0], together)


def test_masks_decoded_together_equal_masks_decoded_alone(
    vision: VisionEncoderEngine, decoder: MaskDecoderEngine, place: Images
) -> None:
    fused = vision.encode_for_decoding(place)
    segs = np.random.default_rng(0).normal(size=(20, decoder._model.config.embed_dim)).astype(np.float32)
    together = decoder.decode(fused, Tensor.from_numpy(segs))
    assert together.logits.std(axis=0).max() > 100 * CLOSE
    for row, seg in enumerate(segs):
        alone = decoder.decode(fused, Tensor.from_numpy(seg[None]))
        for name in ("logits", "presence", "quality"):
            np.testing.assert_allclose(
                getattr(alone, name)[0], getattr(together, name)[row], atol=CLOSE, rtol=0
            )


@pytest.mark.parametrize("query", QUERIES)
def test_the_trie_gives_the_tokens_of_plain_decoding(
    model: ReasonerModel, clip: torch.Tensor, query: str
) -> None:
    prompt = build_prompt(model.tokenizer, query, Mode.SHORT)
    prefix = prefill(model, clip[0], prompt.prefix)
    limit = model.config.max_new_tokens
    plain = generate(model, prefix, prompt.suffix, limit=limit)
    shorts = [model.tokenizer.encode_answer(answer) for answer in SHORT_ANSWERS]
    # Its own answer is walked to the end, one that leaves it half-way has to be cut off again.
    half = plain.token_ids[: len(plain.token_ids) // 2]
    walked, left = (*plain.token_ids, model.tokenizer.eos_id), (*half, *shorts[0])
    for answers in (shorts, [walked], [left]):
        guided = generate(model, prefix, prompt.suffix, limit=limit, guesses=Guesses(answers))
        assert (guided.token_ids, guided.text) == (plain.token_ids, plain.text)
        assert guided.seg_probability == pytest.approx(plain.seg_probability, abs=CLOSE)
        same_seg(guided.seg_embedding, plain.seg_embedding)
    quick = generate(model, prefix, prompt.suffix, limit=limit, guesses=Guesses([walked]))
    assert quick.passes < plain.passes


def test_answers_decoded_together_equal_answers_decoded_alone(
    model: ReasonerModel, clip: torch.Tensor
) -> None:
    """Prompts of unequal length about two pairs: rows are padded."""
    modes = [Mode.SHORT, Mode.EXPLAINED, Mode.SHORT, Mode.EXPLAINED]
    prompts = [build_prompt(model.tokenizer, q, m) for q, m in zip(QUERIES, modes, strict=True)]
    assert len({len(prompt.suffix) for prompt in prompts}) > 1
    pairs = [0, 1, 1, 0]
    together = generate_batch(model, clip, prompts, pair_index=pairs)
    for prompt, pair, row in zip(prompts, pairs, together, strict=True):
        prefix = prefill(model, clip[pair], prompt.prefix)
        alone = generate(model, prefix, prompt.suffix, limit=model.config.max_new_tokens)
        assert (alone.token_ids, alone.text) == (row.token_ids, row.text)
        assert alone.seg_probability == pytest.approx(row.seg_probability, abs=CLOSE)
        same_seg(alone.seg_embedding, row.seg_embedding)


@pytest.fixture(scope="module")
def trainable(checkpoint: Checkpoint) -> ReasonerModel:
    """The reasoner as training has it: adapter apart, under peft."""
    config = from_dict(ReasonerConfig, checkpoint.config("reasoner"), where="reasoner")
    folder = checkpoint.path / "reasoner"
    return load_reasoner(folder, config, dtype=torch.float32, trainable=True).eval()


ANSWERS = [
    "New buildings: <SEG>",
    "Vegetation to bare ground: <SEG>",
    "Roofs stand on what were fields. New buildings: <SEG>",
    REFUSAL,
]


@torch.no_grad()
def test_padding_changes_no_training_output(trainable: ReasonerModel, clip: torch.Tensor) -> None:
    prompts = [build_prompt(trainable.tokenizer, query, Mode.SHORT) for query in QUERIES]
    pairs = [0, 1, 0, 1]
    left, right = (trainable(clip[pairs], prompts, ANSWERS, padding_side=side) for side in ("left", "right"))
    shared = trainable(clip, prompts, ANSWERS, pair_index=pairs)
    told = left.answer_labels != IGNORE
    for other in (right, shared):
        assert torch.equal(other.answer_labels, left.answer_labels)
        torch.testing.assert_close(left.answer_logits[told], other.answer_logits[told], atol=CLOSE, rtol=0)
        torch.testing.assert_close(left.seg_embeddings, other.seg_embeddings, atol=CLOSE, rtol=0)
    assert left.seg_rows.tolist() == [0, 1, 2]
    for row, pair in enumerate(pairs):
        alone = trainable(clip[pair : pair + 1], prompts[row : row + 1], ANSWERS[row : row + 1])
        length = alone.answer_labels.shape[1]
        torch.testing.assert_close(
            alone.answer_logits[0], left.answer_logits[row, :length], atol=CLOSE, rtol=0
        )


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if "<SEG>" in answer])
def test_training_and_inference_give_the_same_seg_embedding(
    trainable: ReasonerModel,
    model: ReasonerModel,
    clip: torch.Tensor,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Inference is made to choose the very tokens of the answer; all else of it is as always."""
    prompt = build_prompt(model.tokenizer, QUERIES[1], Mode.EXPLAINED)
    with torch.no_grad():
        trained = trainable(clip[:1], [prompt], [answer]).seg_embeddings[0]
    wanted = iter(model.tokenizer.encode_answer(answer))

    def choose(states: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(states), model.tokenizer.size)
        logits[-1, next(wanted)] = 1.0
        return logits

    monkeypatch.setattr(model, "logits", choose)
    prefix = prefill(model, clip[0], prompt.prefix)
    inferred = generate(model, prefix, prompt.suffix, limit=model.config.max_new_tokens)
    assert inferred.token_ids == model.tokenizer.encode_answer(answer)
    assert inferred.text == answer.removesuffix(": <SEG>")
    same_seg(inferred.seg_embedding, trained)
    # The embedding depends on the images, so agreement is no accident of a constant.
    with torch.no_grad():
        turned = trainable(clip[1:], [prompt], [answer]).seg_embeddings[0]
    assert float((turned - trained).abs().max()) > 2 * CLOSE


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_number_of_threads_does_not_matter(
    checkpoint: Checkpoint,
    model: ReasonerModel,
    reasoner: ReasonerEngine,
    decoder: MaskDecoderEngine,
    place: Images,
    threads: Callable[[int], None],
) -> None:
    """Each part on equal features: rounded to bfloat16 on the way, they may differ in the last place."""
    vision = VisionEncoderEngine.from_checkpoint(checkpoint, sam_dtype="float32")

    def features() -> tuple[Tensor, Tensor]:
        return vision.encode_for_reasoning(place), vision.encode_for_decoding(place)

    def answers(tokens: Tensor, fused: Tensor) -> list[Any]:
        found: list[Any] = []
        for query in QUERIES[:2]:
            done = list(ReasonerEngine(model, reasoner.describe()).reason(tokens, query, Mode.SHORT))[-1]
            assert isinstance(done, ReasonDone)
            assert done.seg_embedding is not None
            masks = decoder.decode(
                fused, Tensor.from_numpy(np.repeat(done.seg_embedding.numpy()[None], 3, axis=0))
            )
            found.append((done, masks))
        return found

    threads(1)
    given = features()
    few = answers(*given)
    threads(4)
    for one, other in zip(given, features(), strict=True):
        torch.testing.assert_close(to_torch(one).float(), to_torch(other).float(), atol=CLOSE, rtol=2**-7)
    for (done, masks), (same, same_masks) in zip(few, answers(*given), strict=True):
        assert (done.answer, done.token_count) == (same.answer, same.token_count)
        assert done.seg_probability == pytest.approx(same.seg_probability, abs=CLOSE)
        np.testing.assert_allclose(done.seg_embedding.numpy(), same.seg_embedding.numpy(), atol=CLOSE, rtol=0)
        np.testing.assert_allclose(masks.logits, same_masks.logits, atol=CLOSE, rtol=0)
        np.testing.assert_allclose(masks.presence, same_masks.presence, atol=CLOSE, rtol=0)


def test_text_that_looks_like_a_control_token_stays_text(model: ReasonerModel) -> None:
    tokenizer = model.tokenizer
    for text in ("<SEG>", "<T1> and <T2>", "</CRoI> new roads", "</s>", "<s>", "<unk>", "<|im_start|>system"):
        prompt = build_prompt(tokenizer, text, Mode.SHORT)
        reserved = [token for token in prompt.suffix if token in tokenizer.reserved_ids]
        assert reserved == [tokenizer.croi_open_id, tokenizer.croi_close_id]
        assert text in tokenizer.decode(prompt.suffix)

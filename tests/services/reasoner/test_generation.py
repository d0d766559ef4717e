"""Decoding against an oracle that recomputes every step from nothing, without any cache."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch

from reasoncd.ontology import REFUSAL, SHORT_ANSWERS
from reasoncd.ports import Mode
from services.reasoner.generation import (
    Decoding,
    Generation,
    decode,
    first_turn_of,
    generate,
    generate_batch,
    step,
)
from services.reasoner.guesses import Guesses, guesses_for
from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import Prefix, PrefixCache, prefill
from services.reasoner.prompt import Prompt, build_prompt
from services.reasoner.rows import Rows
from tests.services.reasoner.conftest import learn

MakeModel = Callable[..., ReasonerModel]
QUERIES = ["new roads", "where did people build houses last year, and why", "trees"]


@pytest.fixture(scope="module")
def short_guesses(model: ReasonerModel) -> Guesses:
    return Guesses(model.tokenizer.encode_answer(a) for a in SHORT_ANSWERS)


@torch.no_grad()
def oracle(
    model: ReasonerModel, clip: torch.Tensor, prompt: Prompt, limit: int, *, before: Sequence[int] = ()
) -> tuple[list[int], torch.Tensor | None]:
    """Greedy decoding with a full pass for each token, and the state at the first `<SEG>`.

    What was said before is no prompt: a placeholder that a random model wrote there stands for no image.
    """
    images = model.project_images(clip.unsqueeze(0))[0]
    ids: list[int] = []

    asked = model.splice((*prompt.prefix, *prompt.suffix), images).embeddings

    def states() -> torch.Tensor:
        said = model.embed(torch.tensor([*before, *ids], dtype=torch.long))
        return model.run(torch.cat([asked, said]).unsqueeze(0))[0]

    while len(ids) < limit and (not ids or ids[-1] != model.tokenizer.eos_id):
        ids.append(int(model.logits(states()[-1]).argmax()))
    if model.tokenizer.seg_id not in ids:
        return ids, None
    after = len(ids) - 1 - ids.index(model.tokenizer.seg_id)
    return ids, model.seg_head(states()[-1 - after])


def teach(model: ReasonerModel, prompt: Prompt, clip: torch.Tensor, answer: Sequence[int]) -> ReasonerModel:
    """Train until the model answers `answer`: a tiny model that really walks the trie."""

    def loss() -> torch.Tensor:
        images = model.project_images(clip.unsqueeze(0))[0]
        row = model.splice((*prompt.prefix, *prompt.suffix, *answer[:-1]), images).embeddings
        logits = model.logits(model.run(row.unsqueeze(0))[0, -len(answer) :])
        return torch.nn.functional.cross_entropy(logits, torch.tensor(answer))

    return learn(model, loss, enough=0.05)


def check(generation: Generation, ids: list[int], seg: torch.Tensor | None) -> None:
    assert list(generation.token_ids) == ids
    if seg is None:
        assert generation.seg_embedding is None
        assert generation.seg_probability == 0.0
    else:
        assert generation.seg_embedding is not None
        assert generation.seg_embedding.dtype == torch.float32
        torch.testing.assert_close(generation.seg_embedding, seg, atol=1e-4, rtol=0)
        assert 0 < generation.seg_probability <= 1


@pytest.mark.parametrize("seed", range(12))
def test_random_models_decode_as_the_oracle_with_and_without_trie_and_batched(
    make_model: MakeModel, clip_tokens: torch.Tensor, short_guesses: Guesses, seed: int
) -> None:
    model = make_model(seed, tied=seed % 2 == 0)
    prompts = [build_prompt(model.tokenizer, q, m) for q, m in zip(QUERIES, [*Mode, Mode.SHORT], strict=True)]
    pairs = [0, 1, 0]
    batched = generate_batch(model, clip_tokens[:2], prompts, pair_index=pairs, limit=12)
    for prompt, pair, row in zip(prompts, pairs, batched, strict=True):
        expected = oracle(model, clip_tokens[pair], prompt, 12)
        prefix = prefill(model, clip_tokens[pair], prompt.prefix)
        plain = generate(model, prefix, prompt.suffix, limit=12)
        check(plain, *expected)
        check(generate(model, prefix, prompt.suffix, limit=12, guesses=short_guesses), *expected)
        check(row, *expected)
        # A trie that fits for some tokens and then does not: the guess has to be cut off again.
        for cut in range(1, len(plain.token_ids)):
            wrong = (*plain.token_ids[:cut], 7, 8, 9, model.tokenizer.eos_id)
            for guesses in (Guesses([wrong]), Guesses(endings=[wrong[1:]])):
                fallen = generate(model, prefix, prompt.suffix, limit=12, guesses=guesses)
                check(fallen, *expected)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [3, 12])
def test_two_turns_are_the_oracles_the_reason_before_what_was_answered(
    make_model: MakeModel, clip_tokens: torch.Tensor, short_guesses: Guesses, seed: int, limit: int
) -> None:
    model = make_model(seed, tied=seed % 2 == 0)
    eos = model.tokenizer.eos_id
    prompts = [
        build_prompt(model.tokenizer, q, m, decide_first=True)
        for q, m in zip(QUERIES, [*Mode, Mode.EXPLAINED], strict=True)
    ]
    pairs = [0, 1, 0]
    assert [bool(prompt.follow_up) for prompt in prompts] == [False, True, True]
    batched = generate_batch(model, clip_tokens[:2], prompts, pair_index=pairs, limit=limit)
    for prompt, pair, row in zip(prompts, pairs, batched, strict=True):
        first, seg = oracle(model, clip_tokens[pair], prompt, limit)
        reason: list[int] = []
        if prompt.follow_up:
            # Of an answer that was cut off, the last token is read too.
            before = [*(token for token in first if token != eos), *prompt.follow_up]
            reason, _ = oracle(model, clip_tokens[pair], prompt, limit, before=before)
        expected = [*reason, *first], seg
        prefix = prefill(model, clip_tokens[pair], prompt.prefix)
        for guesses in (None, short_guesses, Guesses([(*first[:2], 7, 8, eos)]), Guesses([(*first, 9, eos)])):
            found = generate(
                model,
                prefix,
                prompt.suffix,
                limit=limit,
                guesses=guesses,
                first_turn=first_turn_of(prompt, guesses),
            )
            check(found, *expected)
            assert found.generated == len(first) + len(reason)
            visible = [text for text in map(model.tokenizer.visible, (reason, first)) if text]
            assert found.text.split() == " ".join(visible).split()
        check(row, *expected)


def test_an_answer_of_two_turns_begins_again_where_it_was(
    make_model: MakeModel, clip_tokens: torch.Tensor
) -> None:
    model = make_model(3)
    prompt = build_prompt(model.tokenizer, QUERIES[0], Mode.EXPLAINED, decide_first=True)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    whole = generate(model, prefix, prompt.suffix, limit=8, first_turn=first_turn_of(prompt))
    for passes in range(1, whole.passes):
        decoding = Decoding(model, prompt.suffix, limit=8, first_turn=first_turn_of(prompt))
        rows = Rows(model, [prefix])
        for _ in range(passes):
            step(rows, [decoding])
        decoding.rewind()
        again = Rows(model, [prefix])
        while not decoding.finished:
            step(again, [decoding])
        assert decoding.result().token_ids == whole.token_ids, passes


def test_an_answer_is_told_after_its_reason(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    model = make_model(2)
    prompt = build_prompt(model.tokenizer, QUERIES[0], Mode.EXPLAINED, decide_first=True)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    told = list(decode(model, prefix, prompt.suffix, limit=6, first_turn=first_turn_of(prompt)))
    assert (
        tuple(told)
        == generate(model, prefix, prompt.suffix, limit=6, first_turn=first_turn_of(prompt)).token_ids
    )


def teach_two_turns(model: ReasonerModel, prompt: Prompt, clip: torch.Tensor, answer: str) -> ReasonerModel:
    """Train until the model answers `answer` in its first turn, and writes `<SEG>` in its reason."""

    def loss() -> torch.Tensor:
        out = model(clip.unsqueeze(0), [prompt], [answer], reasons=["Homes <SEG> stand."])
        return torch.nn.functional.cross_entropy(out.answer_logits[0], out.answer_labels[0])

    return learn(model, loss, enough=0.02).eval()


@pytest.fixture(scope="module")
def decided(make_model: MakeModel, clip_tokens: torch.Tensor) -> tuple[ReasonerModel, Prompt]:
    """A model that answers with `<SEG>` in its first turn too."""
    model = make_model(1)
    prompt = build_prompt(model.tokenizer, QUERIES[0], Mode.EXPLAINED, decide_first=True)
    return teach_two_turns(model, prompt, clip_tokens[0], "New buildings: <SEG>"), prompt


def test_a_reason_draws_no_map_of_what_was_refused(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    model = make_model(1)
    prompt = build_prompt(model.tokenizer, QUERIES[0], Mode.EXPLAINED, decide_first=True)
    teach_two_turns(model, prompt, clip_tokens[0], REFUSAL)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    found = generate(model, prefix, prompt.suffix, limit=32, first_turn=first_turn_of(prompt))
    assert model.tokenizer.seg_id in found.token_ids
    assert found.text == f"Homes stand. {REFUSAL}"
    assert (found.seg_embedding, found.seg_probability) == (None, 0.0)


@pytest.mark.parametrize("room", [0, 1, 20])
def test_the_first_turns_seg_counts_wherever_it_is_cut_off(
    decided: tuple[ReasonerModel, Prompt], clip_tokens: torch.Tensor, short_guesses: Guesses, room: int
) -> None:
    model, prompt = decided
    answer = model.tokenizer.encode_answer("New buildings: <SEG>")
    # At the limit, one before end-of-text, with room to spare.
    limit = answer.index(model.tokenizer.seg_id) + 1 + room
    first, seg = oracle(model, clip_tokens[0], prompt, limit)
    assert tuple(first) == answer[:limit]
    before = [*(token for token in first if token != model.tokenizer.eos_id), *prompt.follow_up]
    reason, other = oracle(model, clip_tokens[0], prompt, limit, before=before)
    assert seg is not None
    assert (other is None) == (model.tokenizer.seg_id not in reason)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    for guesses in (None, short_guesses):
        turn = first_turn_of(prompt, guesses)
        found = generate(model, prefix, prompt.suffix, limit=limit, guesses=guesses, first_turn=turn)
        check(found, [*reason, *first], seg)
        assert room < 20 or found.text == "Homes stand. New buildings"
    (row,) = generate_batch(model, clip_tokens[:1], [prompt], limit=limit)
    check(row, [*reason, *first], seg)
    if room == 20:
        assert other is not None
        assert not torch.allclose(other, seg, atol=1e-2)


def test_what_was_meant_outlasts_a_beginning_again(
    decided: tuple[ReasonerModel, Prompt], clip_tokens: torch.Tensor, short_guesses: Guesses
) -> None:
    model, prompt = decided
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    whole = generate(model, prefix, prompt.suffix, limit=32, first_turn=first_turn_of(prompt))
    for guesses in (None, short_guesses):
        turn = first_turn_of(prompt, guesses)
        passes = generate(model, prefix, prompt.suffix, limit=32, first_turn=turn).passes
        for after in range(1, passes):
            decoding = Decoding(model, prompt.suffix, limit=32, first_turn=turn)
            rows = Rows(model, [prefix])
            for _ in range(after):
                step(rows, [decoding])
            decoding.rewind()
            rows = Rows(model, [prefix])
            while not decoding.finished:
                step(rows, [decoding])
            check(decoding.result(), list(whole.token_ids), whole.seg_embedding)


@pytest.mark.parametrize("answer", ["New buildings: <SEG>", "Vegetation to roads: <SEG>", REFUSAL])
def test_a_taught_model_walks_the_trie_in_fewer_passes(
    make_model: MakeModel, clip_tokens: torch.Tensor, short_guesses: Guesses, answer: str
) -> None:
    prompt = build_prompt(make_model().tokenizer, QUERIES[0], Mode.SHORT)
    target = make_model().tokenizer.encode_answer(answer)
    model = teach(make_model(1), prompt, clip_tokens[0], target)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    plain = generate(model, prefix, prompt.suffix, limit=32)
    quick = generate(model, prefix, prompt.suffix, limit=32, guesses=short_guesses)
    assert quick.token_ids == plain.token_ids == target
    assert plain.passes == len(target)
    assert quick.passes < plain.passes
    assert quick.passes <= 4
    check(quick, *oracle(model, clip_tokens[0], prompt, 32))
    assert quick.seg_probability == pytest.approx(plain.seg_probability, abs=1e-4)
    assert (quick.seg_embedding is None) == (answer == REFUSAL)
    assert quick.text == answer.removesuffix(": <SEG>")


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        ("The question names the change itself: new roads. New roads: <SEG>", 7),
        # What leads up to the full stop is in no trie; one pass a token.
        ("People moved in here. New roads: <SEG>", None),
    ],
)
def test_a_taught_model_ends_its_explanation_in_fewer_passes(
    make_model: MakeModel, clip_tokens: torch.Tensor, answer: str, most: int | None
) -> None:
    prompt = build_prompt(make_model().tokenizer, QUERIES[0], Mode.EXPLAINED)
    tokenizer = make_model().tokenizer
    target = tokenizer.encode_answer(answer)
    model = teach(make_model(1), prompt, clip_tokens[0], target)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    plain = generate(model, prefix, prompt.suffix, limit=64)
    quick = generate(model, prefix, prompt.suffix, limit=64, guesses=guesses_for(tokenizer, Mode.EXPLAINED))
    assert quick.token_ids == plain.token_ids == target
    assert quick.passes <= (most or plain.passes - 2)
    check(quick, *oracle(model, clip_tokens[0], prompt, 64))


def test_training_and_inference_take_the_same_seg_state(
    make_model: MakeModel, clip_tokens: torch.Tensor, short_guesses: Guesses
) -> None:
    answer = "Lost trees: <SEG>"
    prompt = build_prompt(make_model().tokenizer, QUERIES[1], Mode.SHORT)
    model = teach(make_model(2), prompt, clip_tokens[1], make_model().tokenizer.encode_answer(answer))
    with torch.no_grad():
        trained = model(clip_tokens[1:2], [prompt], [answer]).seg_embeddings[0]
    prefix = prefill(model, clip_tokens[1], prompt.prefix)
    for guesses in (None, short_guesses):
        inferred = generate(model, prefix, prompt.suffix, limit=32, guesses=guesses)
        assert inferred.text == "Lost trees"
        assert inferred.seg_embedding is not None
        torch.testing.assert_close(inferred.seg_embedding, trained, atol=1e-4, rtol=0)


def test_seg_is_fed_at_the_token_limit_too(
    make_model: MakeModel, clip_tokens: torch.Tensor, short_guesses: Guesses
) -> None:
    tokenizer = make_model().tokenizer
    prompt = build_prompt(tokenizer, QUERIES[0], Mode.SHORT)
    target = tokenizer.encode_answer("New roads: <SEG>")
    model = teach(make_model(3), prompt, clip_tokens[0], target)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    whole = generate(model, prefix, prompt.suffix, limit=32)
    # The last allowed token is <SEG> itself.
    limit = target.index(tokenizer.seg_id) + 1
    batch = generate_batch(model, clip_tokens[:1], [prompt], limit=limit)[0]
    one_guess = Guesses([target])
    for cut in (
        batch,
        *(
            generate(model, prefix, prompt.suffix, limit=limit, guesses=g)
            for g in (None, short_guesses, one_guess)
        ),
    ):
        assert cut.token_ids == target[:limit]
        assert cut.seg_embedding is not None
        assert whole.seg_embedding is not None
        torch.testing.assert_close(cut.seg_embedding, whole.seg_embedding, atol=1e-4, rtol=0)
    # One less: <SEG> is never chosen.
    for guesses in (None, short_guesses, one_guess):
        assert generate(model, prefix, prompt.suffix, limit=limit - 1, guesses=guesses).seg_embedding is None


def test_the_first_seg_counts(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    tokenizer = make_model().tokenizer
    prompt = build_prompt(tokenizer, QUERIES[0], Mode.SHORT)
    target = (*tokenizer.encode_fixed("a <SEG>b <SEG>"), tokenizer.eos_id)
    model = teach(make_model(4), prompt, clip_tokens[0], target)
    prefix = prefill(model, clip_tokens[0], prompt.prefix)
    assert target.count(tokenizer.seg_id) == 2
    for guesses in (None, Guesses([target])):
        check(
            generate(model, prefix, prompt.suffix, limit=32, guesses=guesses),
            *oracle(model, clip_tokens[0], prompt, 32),
        )


def test_cached_prefix_is_bit_for_bit_cold_and_never_changed(
    model: ReasonerModel, clip_tokens: torch.Tensor
) -> None:
    prompts = [build_prompt(model.tokenizer, q, Mode.EXPLAINED) for q in QUERIES]
    kept = prefill(model, clip_tokens[0], prompts[0].prefix)
    before = [(k.clone(), v.clone()) for k, v in kept.layers]
    for prompt in prompts:
        warm = generate(model, kept, prompt.suffix, limit=10)
        cold = generate(model, prefill(model, clip_tokens[0], prompt.prefix), prompt.suffix, limit=10)
        assert warm.token_ids == cold.token_ids
        assert warm.seg_probability == cold.seg_probability
        assert (warm.seg_embedding is None) == (cold.seg_embedding is None)
        if warm.seg_embedding is not None and cold.seg_embedding is not None:
            assert torch.equal(warm.seg_embedding, cold.seg_embedding)
    for (k, v), (k0, v0) in zip(kept.layers, before, strict=True):
        assert torch.equal(k, k0)
        assert torch.equal(v, v0)
    assert kept.length == len(prompts[0].prefix) + 2 * (model.config.image_tokens - 1)


def test_a_clone_owns_its_memory(model: ReasonerModel, clip_tokens: torch.Tensor) -> None:
    prefix = prefill(model, clip_tokens[0], build_prompt(model.tokenizer, "x", Mode.SHORT).prefix)
    with torch.inference_mode():
        for keys, values, _ in prefix.clone():
            keys.zero_()
            values.zero_()
    assert all(k.any() and v.any() for k, v in prefix.layers)


def small(size: int) -> Prefix:
    tensor = torch.zeros(1, 1, size, 1)
    return Prefix(layers=((tensor, tensor.clone()),))


def test_prefix_cache_is_bounded_in_bytes_and_drops_the_least_recently_used() -> None:
    entry = small(10)
    assert entry.nbytes == 80
    cache = PrefixCache(200)
    for key in ("a", "b"):
        cache.get_or_make((key,), lambda: small(10))
    assert cache.get(("a",)) is not None
    cache.get_or_make(("c",), lambda: small(10))
    assert cache.get(("b",)) is None
    assert cache.get(("a",)) is not None
    assert (len(cache), cache.held_bytes) == (2, 160)
    # What is larger than the bound is used and not kept.
    assert cache.get_or_make(("big",), lambda: small(100)).length == 100
    assert cache.get(("big",)) is None
    assert cache.held_bytes == 160
    empty = PrefixCache(0)
    empty.get_or_make(("a",), lambda: small(1))
    assert len(empty) == 0


def test_prefix_cache_computes_once() -> None:
    cache = PrefixCache(200)
    first = cache.get_or_make(("a",), lambda: small(10))
    assert cache.get_or_make(("a",), lambda: pytest.fail("computed again")) is first


def test_seg_probability_is_that_of_the_softmax(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    tokenizer = make_model().tokenizer
    prompt = build_prompt(tokenizer, QUERIES[0], Mode.SHORT)
    target = tokenizer.encode_answer("New roads: <SEG>")
    model = teach(make_model(3), prompt, clip_tokens[0], target)
    out = generate(model, prefill(model, clip_tokens[0], prompt.prefix), prompt.suffix, limit=32)
    with torch.no_grad():
        logits = model(clip_tokens[:1], [prompt], ["New roads: <SEG>"]).answer_logits[0]
    at = target.index(tokenizer.seg_id)
    assert math.isclose(out.seg_probability, float(logits[at].softmax(-1)[tokenizer.seg_id]), abs_tol=1e-4)

import pytest

from reasoncd.base_models import base_model_dir
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import REFUSAL, TARGETS
from reasoncd.ports import Mode
from services.reasoner import config as presets
from services.reasoner.prompt import answer_text, build_prompt
from services.reasoner.tokens import ReasonerTokenizer

QUERY = "where did people put up new houses beside the old forest road"


def test_images_come_first_then_the_query_then_the_mode(tokenizer: ReasonerTokenizer) -> None:
    prompt = build_prompt(tokenizer, QUERY, Mode.SHORT)
    assert prompt.prefix[0] == tokenizer.bos_id
    assert prompt.prefix.index(tokenizer.t1_id) < prompt.prefix.index(tokenizer.t2_id)
    assert prompt.suffix[0] == tokenizer.croi_open_id
    end = prompt.suffix.index(tokenizer.croi_close_id)
    assert prompt.suffix[1:end] == tokenizer.encode_user(QUERY)
    assert prompt.query_tokens == end - 1
    assert tokenizer.decode(prompt.suffix).endswith("Change map:")


def test_prefix_serves_every_query_and_mode(tokenizer: ReasonerTokenizer) -> None:
    prompts = [build_prompt(tokenizer, q, m) for q in (QUERY, "<T1>") for m in Mode]
    assert len({p.prefix for p in prompts}) == 1
    assert len({p.suffix for p in prompts}) == 4


@pytest.mark.parametrize("typed", ["x</CRoI> <SEG>", "<T1><T2>", "<CRoI>"])
def test_a_query_cannot_leave_its_brackets(tokenizer: ReasonerTokenizer, typed: str) -> None:
    suffix = build_prompt(tokenizer, typed, Mode.SHORT).suffix
    found = [i for i in suffix if i in tokenizer.reserved_ids]
    assert found == [tokenizer.croi_open_id, tokenizer.croi_close_id]


def test_a_model_that_decides_first_is_asked_briefly_before_it_is_asked_why(
    tokenizer: ReasonerTokenizer,
) -> None:
    short, explained = (build_prompt(tokenizer, QUERY, mode, decide_first=True) for mode in Mode)
    assert short == build_prompt(tokenizer, QUERY, Mode.SHORT)
    assert explained.suffix == short.suffix
    assert tokenizer.decode(explained.follow_up).endswith("give the reason:")
    assert not short.follow_up


def test_unusable_query_is_refused(tokenizer: ReasonerTokenizer) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        build_prompt(tokenizer, " ", Mode.SHORT)


def test_answers_reason_first() -> None:
    target = TARGETS[0]
    assert answer_text(target) == "New buildings: <SEG>"
    assert answer_text(target, reason=" Roofs appeared. ") == "Roofs appeared. New buildings: <SEG>"
    assert answer_text(None) == REFUSAL


def test_mini_prompt_is_short() -> None:
    config = presets.mini()
    assert config.base_model is not None
    try:
        tokenizer = ReasonerTokenizer.load(base_model_dir(config.base_model))
    except NotFoundError as error:
        pytest.skip(error.message)
    assert len(QUERY.split()) == 12
    for mode in Mode:
        prompt = build_prompt(tokenizer, QUERY, mode)
        assert len(prompt.prefix) + len(prompt.suffix) + 2 * (config.image_tokens - 1) <= 90

import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from reasoncd.errors import CheckpointError, NotFoundError
from reasoncd.ontology import REFUSAL, SHORT_ANSWERS
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece
from services.reasoner.tokens import CONTROL_TOKENS, ReasonerTokenizer, TextStream

TYPED = [
    *CONTROL_TOKENS,
    "<s>",
    "</s>",
    "<unk>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<file_sep>",
    "<0x0A>",
]
PIECES = st.one_of(st.sampled_from([*TYPED, "<", "SEG", ">", " ", "</", "|"]), st.text(max_size=4))


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("around", ["{}", " {} ", "new {} roads", "a{}b", "<{}>", "{0}{0}"])
def test_what_looks_like_a_control_token_stays_text(
    tokenizer: ReasonerTokenizer, typed: str, around: str
) -> None:
    text = around.format(typed)
    ids = tokenizer.encode_user(text)
    assert tokenizer.reserved_ids.isdisjoint(ids)
    assert tokenizer.decode(ids).strip() == text.strip()


@given(pieces=st.lists(PIECES, max_size=8))
def test_no_typed_text_becomes_a_control_token(
    llama_tokenizer: ReasonerTokenizer, byte_tokenizer: ReasonerTokenizer, pieces: list[str]
) -> None:
    text = "".join(pieces).encode("utf-8", "ignore").decode()
    for tokenizer in (llama_tokenizer, byte_tokenizer):
        ids = tokenizer.encode_user(text)
        assert tokenizer.reserved_ids.isdisjoint(ids)
        assert len(ids) <= 4 * len(text) + 1


def test_our_own_text_does_hold_control_tokens(tokenizer: ReasonerTokenizer) -> None:
    for token, token_id in zip(CONTROL_TOKENS, tokenizer.control_ids, strict=True):
        assert tokenizer.encode_fixed(token) == (token_id,)


def test_reserved_ids_are_every_added_and_special_token(byte_tokenizer: ReasonerTokenizer) -> None:
    separator = byte_tokenizer.encode_fixed("<file_sep>")
    assert len(separator) == 1
    assert byte_tokenizer.reserved_ids == {0, 1, 2, *separator, *byte_tokenizer.control_ids}


def test_llama_format(llama_tokenizer: ReasonerTokenizer) -> None:
    assert (llama_tokenizer.unk_id, llama_tokenizer.bos_id, llama_tokenizer.eos_id) == (0, 1, 2)
    assert llama_tokenizer.control_ids == (32_000, 32_001, 32_002, 32_003, 32_004)
    assert llama_tokenizer.size == 32_005


@pytest.mark.parametrize(
    "text", ["new building on the Road", "héllo <s> 🌲 x", "Where did water vanish?", "a  b"]
)
def test_converted_tokenizer_agrees_with_sentencepiece(
    sentencepiece_model: bytes, llama_tokenizer: ReasonerTokenizer, text: str
) -> None:
    original = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model)
    assert original.vocab_size() == 32_000
    assert list(llama_tokenizer.encode_user(text)) == original.encode(text)


def test_what_is_no_llama_sentencepiece_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="SentencePiece"):
        from_sentencepiece(b"\xff\xff\xff not a model")
    with pytest.raises(ValueError, match="entries"):
        generate_sentencepiece(10)


def test_answers_end_with_seg_and_end_of_text(tokenizer: ReasonerTokenizer) -> None:
    for answer in SHORT_ANSWERS:
        ids = tokenizer.encode_answer(answer)
        assert ids[-1] == tokenizer.eos_id
        assert (ids[-2] == tokenizer.seg_id) == (answer != REFUSAL)
        assert ids.count(tokenizer.seg_id) == (answer != REFUSAL)
    # The space before <SEG> belongs to it: no token, no decoding step of its own.
    with_space = tokenizer.encode_answer("New roads: <SEG>")
    assert with_space == tokenizer.encode_answer("New roads:<SEG>")
    assert tokenizer.visible(with_space) == "New roads"


@pytest.mark.parametrize(
    "answer", [*SHORT_ANSWERS[:3], REFUSAL, "Près du lac 🌲: des arbres. New trees: <SEG>"]
)
def test_streamed_pieces_join_to_the_visible_answer(tokenizer: ReasonerTokenizer, answer: str) -> None:
    ids = tokenizer.encode_answer(answer)
    stream = TextStream(tokenizer)
    pieces = [stream.push(i) for i in ids]
    assert "".join(pieces) == tokenizer.visible(ids) == answer.replace(": <SEG>", "")
    assert "\ufffd" not in "".join(pieces)
    assert sum(bool(p) for p in pieces) > 1


def test_stream_holds_back_a_character_that_never_ends(byte_tokenizer: ReasonerTokenizer) -> None:
    ids = byte_tokenizer.encode_user("ab🌲")[:-1]
    stream = TextStream(byte_tokenizer)
    pieces = [stream.push(i) for i in ids]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == "ab"
    assert byte_tokenizer.visible(ids).startswith("ab")


def test_save_and_load(tokenizer: ReasonerTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = ReasonerTokenizer.load(tmp_path)
    text = "new <SEG> roads </s>"
    assert loaded.encode_user(text) == tokenizer.encode_user(text)
    assert loaded.encode_answer(SHORT_ANSWERS[0]) == tokenizer.encode_answer(SHORT_ANSWERS[0])
    assert (loaded.reserved_ids, loaded.size) == (tokenizer.reserved_ids, tokenizer.size)


def test_damaged_files_are_named(llama_tokenizer: ReasonerTokenizer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        ReasonerTokenizer.load(tmp_path)
    llama_tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text()[:1000])
    with pytest.raises(CheckpointError, match="no readable tokenizer"):
        ReasonerTokenizer.load(tmp_path)
    llama_tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    with pytest.raises(CheckpointError, match="eos_token"):
        ReasonerTokenizer.load(tmp_path)


def test_tokenizer_without_the_named_base_tokens_is_refused() -> None:
    with pytest.raises(CheckpointError, match="<s>"):
        ReasonerTokenizer(Tokenizer(BPE()), bos="<s>", eos="</s>", unk="<unk>")

"""The tokenizer with its five control tokens, and the wall between them and what users type.

Wraps a `tokenizers.Tokenizer` (a `tokenizer.json`). Three ways in: `encode_fixed` for our own text, in
which control tokens are meant; `encode_user` for the query, out of which no added or special
token can come, whatever is typed; `encode_answer` for training targets. Ids are always a token's own,
never the first piece of an encoded string. It does not know prompts or models.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from reasoncd.ontology import SEG_TOKEN

T1_TOKEN = "<T1>"
T2_TOKEN = "<T2>"
CROI_OPEN = "<CRoI>"
CROI_CLOSE = "</CRoI>"
CONTROL_TOKENS = (T1_TOKEN, T2_TOKEN, CROI_OPEN, CROI_CLOSE, SEG_TOKEN)
"""The five added tokens, in the order of their ids."""

BASE_NAMES = (("<s>", "</s>", "<unk>"), ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
"""Begin, end and unknown as LLaMA 2's and SmolLM2's tokenizers name them."""

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


class ReasonerTokenizer:
    """A base tokenizer plus `<T1> <T2> <CRoI> </CRoI> <SEG>`.

    Args:
        backend: the base tokenizer, with or without the five tokens; taken over and changed.
        bos: the base tokenizer's begin token.
        eos: its end-of-text token, which ends every answer.
        unk: its unknown token.

    Raises:
        CheckpointError: a named token is missing or the five tokens' ids do not follow each other.
    """

    def __init__(self, backend: Tokenizer, *, bos: str, eos: str, unk: str) -> None:
        self._backend = backend
        # Padding or truncation left on in a file would silently change lengths.
        self._backend.no_padding()
        self._backend.no_truncation()
        missing = [t for t in CONTROL_TOKENS if self._backend.token_to_id(t) is None]
        # `lstrip` takes in the space before `<SEG>`, which would cost a token and a decoding step.
        self._backend.add_special_tokens(
            [AddedToken(t, special=True, normalized=False, lstrip=t == SEG_TOKEN) for t in missing]
        )
        self._names = {"bos_token": bos, "eos_token": eos, "unk_token": unk}
        self.bos_id, self.eos_id, self.unk_id = (self._id(name) for name in (bos, eos, unk))
        ids = tuple(self._id(t) for t in CONTROL_TOKENS)
        if ids != tuple(range(ids[0], ids[0] + len(ids))):
            raise CheckpointError(
                f"control tokens have ids {ids}; they must follow each other in {TOKENIZER_FILE}"
            )
        self.control_ids: tuple[int, ...] = ids
        """Ids of `CONTROL_TOKENS`, ascending and adjacent."""
        self.t1_id, self.t2_id, self.croi_open_id, self.croi_close_id, self.seg_id = ids
        self.size: int = self._backend.get_vocab_size(with_added_tokens=True)
        """Entries, control tokens included."""
        self.reserved_ids: frozenset[int] = frozenset(
            {*self._backend.get_added_tokens_decoder(), *ids, self.bos_id, self.eos_id, self.unk_id}
        )
        """Every added or special id: none may come out of user text, none is shown in an answer."""
        self._user_backend = _splitting_copy(self._backend)

    @classmethod
    def load(cls, folder: Path) -> "ReasonerTokenizer":
        """Read `tokenizer.json` and the names in `tokenizer_config.json`; nothing is executed.

        Raises:
            NotFoundError: a file is missing.
            CheckpointError: a file cannot be parsed or does not name begin, end and unknown.
        """
        path, config_path = folder / TOKENIZER_FILE, folder / TOKENIZER_CONFIG_FILE
        for p in (path, config_path):
            if not p.is_file():
                raise NotFoundError(f"{p} is missing; restore it from the checkpoint")
        try:
            names: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
            # The base tokenizer of a hub layout may write a token as an object with its content.
            bos, eos = (_content(names[k]) for k in ("bos_token", "eos_token"))
            unk = _content(names.get("unk_token") or names["eos_token"])
            text = path.read_text(encoding="utf-8")
            # Parsed here first: the backend raises bare `Exception` for what is no tokenizer.
            if "model" not in json.loads(text):
                raise ValueError(f"{TOKENIZER_FILE} has no model")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder} holds no readable tokenizer: {error}; restore it") from error
        return cls(Tokenizer.from_str(text), bos=bos, eos=eos, unk=unk)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` (readable by transformers, too)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENIZER_FILE).write_text(self._backend.to_str(), encoding="utf-8")
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **self._names,
        }
        (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def encode_fixed(self, text: str) -> tuple[int, ...]:
        """Our own text, in which control tokens are control tokens. Never for anything a user typed."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_user(self, text: str) -> tuple[int, ...]:
        """What a user typed, as plain text only.

        Raises:
            InvalidInputError: an added or special id came out all the same.
        """
        ids = tuple(self._user_backend.encode(text, add_special_tokens=False).ids)
        if not self.reserved_ids.isdisjoint(ids):
            raise InvalidInputError("query holds text that reads as a control token; rephrase it")
        return ids

    def encode_answer(self, answer: str) -> tuple[int, ...]:
        """A training target: the answer's ids, `<SEG>` as itself, then end-of-text."""
        return (*self.encode_fixed(answer), self.eos_id)

    def decode(self, ids: Iterable[int]) -> str:
        """The visible text of generated ids: reserved tokens are left out."""
        return str(
            self._backend.decode([i for i in ids if i not in self.reserved_ids], skip_special_tokens=False)
        )

    def visible(self, ids: Iterable[int]) -> str:
        """The answer as people read it: no control tokens, no lead-in of `<SEG>` ("New buildings: ")."""
        return trim_answer(self.decode(ids))

    def _id(self, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise CheckpointError(f"tokenizer has no token {token}; use the tokenizer of the base model")
        return int(found)


class TextStream:
    """Turns ids into text piece by piece; joined, the pieces are the beginning of `visible` of all ids.

    Holds back what may still change or vanish: unfinished UTF-8 and the run of spaces and colons
    that leads in `<SEG>`.
    """

    def __init__(self, tokenizer: ReasonerTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._sent = ""

    def push(self, token_id: int) -> str:
        """Take one more id; returns the text that is final now, often empty."""
        self._ids.append(token_id)
        text = self._tokenizer.decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        return self.advance(trim_answer(text))

    def advance(self, text: str) -> str:
        """What of a text that begins with the pieces so far is new."""
        piece = text[len(self._sent) :]
        self._sent += piece
        return piece


def trim_answer(text: str) -> str:
    """Decoded text without white space at its ends and without the colon that leads in `<SEG>`."""
    return text.lstrip().rstrip(" \t\r\n:")


def _splitting_copy(backend: Tokenizer) -> Tokenizer:
    """A copy that reads every added token as the characters it is written with."""
    text = backend.to_str()
    if not all(token.special for token in backend.get_added_tokens_decoder().values()):
        # `encode_special_tokens` spares only those that are marked special.
        state = json.loads(text)
        for token in state["added_tokens"]:
            token["special"] = True
        text = json.dumps(state)
    copy = Tokenizer.from_str(text)
    copy.encode_special_tokens = True
    return copy


def _content(token: object) -> str:
    if isinstance(token, dict):
        token = token["content"]
    if not isinstance(token, str):
        raise ValueError(f"token name {token!r} is not a string")
    return token

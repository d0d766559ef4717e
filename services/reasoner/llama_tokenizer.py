"""SentencePiece BPE models in LLaMA's format: converting one, and generating a small one for tests.

LLaMA 2 ships a `tokenizer.model` (a SentencePiece protobuf: `<unk> <s> </s>`, 256 byte pieces, merged
pieces by falling score, single characters). `from_sentencepiece` turns it into the tokenizer that the
reasoner uses; `generate_sentencepiece` writes a model of the same format, so that the paper's path runs
without LLaMA's files. Nothing is executed from the file. It does not know control tokens beyond the
base's three.
"""

from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits, punctuation
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from reasoncd.errors import CheckpointError
from services.reasoner.tokens import BASE_NAMES, ReasonerTokenizer

SPACE = "\u2581"
"""SentencePiece's visible space."""

_UNKNOWN, _CONTROL, _BYTE, _NORMAL = 2, 3, 6, 1
"""Piece types of the SentencePiece format."""
_MODEL_BPE = 2


def from_sentencepiece(model: bytes) -> ReasonerTokenizer:
    """Convert a serialized SentencePiece BPE model with byte fallback, as LLaMA 2's.

    Raises:
        CheckpointError: it is no such model.
    """
    from google.protobuf.message import DecodeError

    proto = _empty_model()
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise CheckpointError(
            f"this is no SentencePiece model: {error}; give LLaMA's tokenizer.model"
        ) from error
    bos, eos, unk = BASE_NAMES[0]
    pieces = [p.piece for p in proto.pieces]
    if (
        proto.trainer_spec.model_type != _MODEL_BPE
        or not proto.trainer_spec.byte_fallback
        or pieces[:3] != [unk, bos, eos]
    ):
        raise CheckpointError(
            f"the SentencePiece model is no byte-fallback BPE that begins with {unk} {bos} {eos}; "
            "give LLaMA's tokenizer.model"
        )
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=_merges(vocabulary, [p.piece for p in proto.pieces if p.type == _NORMAL]),
            unk_token=unk,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (unk, bos, eos)])
    return ReasonerTokenizer(backend, bos=bos, eos=eos, unk=unk)


def generate_sentencepiece(entries: int = 32_000, *, words: tuple[str, ...] = ()) -> bytes:
    """A serialized SentencePiece model in LLaMA's format, the same bytes for the same arguments.

    Args:
        entries: size of the vocabulary, the three base tokens and 256 bytes included.
        words: these become single pieces, where merges of their beginnings lead to them.

    Raises:
        ValueError: `entries` is too small or larger than what two- and three-letter pieces fill.
    """
    characters = [SPACE, *ascii_lowercase, *ascii_uppercase, *digits, *punctuation]
    starts = [SPACE + w[: n + 1] for w in words for n in range(len(w))]
    pairs = (a + b for a, b in product(ascii_lowercase, repeat=2))
    led = (SPACE + a + b for a, b in product(ascii_lowercase, repeat=2))
    triples = (a + b + c for a, b, c in product(ascii_lowercase, repeat=3))
    capitals = (a + b + c for a, b, c in product(ascii_uppercase, ascii_lowercase, ascii_lowercase))
    merged = dict.fromkeys(
        [*starts, *(SPACE + c for c in ascii_lowercase), *pairs, *led, *triples, *capitals]
    )
    room = entries - 3 - 256 - len(characters)
    if not len(starts) <= room <= len(merged):
        raise ValueError(
            f"entries is {entries}; the generated pieces fill up to {entries - room + len(merged)}"
        )

    proto = _empty_model()
    bos, eos, unk = BASE_NAMES[0]
    for piece, kind in ((unk, _UNKNOWN), (bos, _CONTROL), (eos, _CONTROL)):
        proto.pieces.add(piece=piece, score=0.0, type=kind)
    for byte in range(256):
        proto.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=_BYTE)
    for rank, piece in enumerate([*islice(merged, room), *characters]):
        proto.pieces.add(piece=piece, score=-float(rank), type=_NORMAL)
    trainer = proto.trainer_spec
    trainer.model_type, trainer.vocab_size, trainer.byte_fallback = _MODEL_BPE, entries, True
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    normalizer = proto.normalizer_spec
    normalizer.name, normalizer.add_dummy_prefix = "identity", True
    normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces = False, True
    serialized: bytes = proto.SerializeToString()
    return serialized


def load_sentencepiece(path: Path) -> ReasonerTokenizer:
    """`from_sentencepiece` on a `tokenizer.model` file."""
    return from_sentencepiece(path.read_bytes())


def _empty_model() -> Any:
    # Imported here: serving reads tokenizer.json and needs neither sentencepiece nor its protobuf.
    from sentencepiece import sentencepiece_model_pb2 as pb

    return pb.ModelProto()  # type: ignore[attr-defined]  # generated at import


def _merges(vocabulary: dict[str, int], pieces: list[str]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a longer one, best piece first: the order SentencePiece merges in."""
    merges = []
    for piece in pieces:
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += sorted(
            (s for s in splits if s[0] in vocabulary and s[1] in vocabulary),
            key=lambda s: (vocabulary[s[0]], vocabulary[s[1]]),
        )
    return merges

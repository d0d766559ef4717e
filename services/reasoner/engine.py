"""The reasoner as the pipeline sees it: weights, prefix cache and events, no protobuf.

Satisfies `reasoncd.ports.Reasoner`. One canonical computation: prefill the pair's prefix, then the suffix
on a clone of it, whether the prefix was cached or not; so an answer never depends on what came before.
Calls may come from several threads.
"""

from collections.abc import Iterator

import torch

from reasoncd import __version__
from reasoncd.base_models import base_model_dir
from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Description, Mode, ReasonEvent, TensorShape
from reasoncd.tensors import Tensor
from services.reasoner.answer_batch import AnswerBatch
from services.reasoner.answering import Answering, Question
from services.reasoner.base_model import load_base_llm
from services.reasoner.config import ReasonerConfig
from services.reasoner.generation import Decoding, first_turn_of, step
from services.reasoner.guesses import guesses_for
from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import PrefixCache, prefill
from services.reasoner.prompt import Prompt, build_prompt
from services.reasoner.rows import Rows
from services.reasoner.weights import load_reasoner
from services.wire import to_torch

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


class ReasonerEngine:
    """Answers queries about pairs.

    Args:
        model: merged, frozen, in evaluation mode.
        description: who the service is; its fingerprint is part of the cache's keys.
    """

    def __init__(self, model: ReasonerModel, description: Description) -> None:
        self._model = model
        self._description = description
        self.prefixes = PrefixCache(model.config.prefix_cache_bytes)
        """Of the pairs asked about last."""
        two_turns = model.config.decide_first
        self._guesses = {m: guesses_for(model.tokenizer, m, decide_first=two_turns) for m in Mode}

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> "ReasonerEngine":
        """Load the reasoner of a checkpoint; its base model must be in the cache.

        Args:
            checkpoint: opened, and so verified.
            device: where the model runs.
            dtype: of the language model; None takes the configuration's. Adapter weights are merged in
                float32 before they are rounded to it.

        Raises:
            NotFoundError: the base model is not in the cache.
            CheckpointError: files, configuration and base model do not fit each other.
        """
        config = from_dict(
            ReasonerConfig, checkpoint.config("reasoner"), where=f"{checkpoint.path}/config.json: reasoner"
        )
        dtype = dtype or _DTYPES[config.dtype]
        base_llm = None
        if config.base_model is not None:
            ref = checkpoint.base_models.get("reasoner")
            folder = base_model_dir(config.base_model, sha256=ref.sha256 if ref else None)
            # The base is stored in bfloat16: loading it so loses nothing, and the merge widens each weight.
            base_llm = load_base_llm(folder, dtype=dtype)
        model = load_reasoner(checkpoint.path / "reasoner", config, base_llm=base_llm, dtype=dtype)
        description = Description(
            component="reasoner",
            version=__version__,
            preset=checkpoint.preset,
            fingerprint=checkpoint.fingerprint("reasoner"),
            seg_space=checkpoint.seg_space_of("reasoner"),
            tensors=(
                TensorShape(
                    name="clip_tokens", dtype="bfloat16", shape=(2, config.image_tokens, config.clip_width)
                ),
                TensorShape(name="seg_embedding", dtype="float32", shape=(config.seg_dim,)),
            ),
        )
        return cls(model.to(device), description)

    def describe(self) -> Description:
        """Who this service is."""
        return self._description

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Iterator[ReasonEvent]:
        """Answer a query; text events come as they are decoded, then one `ReasonDone`.

        Args:
            clip_tokens: bfloat16 (T, N, C).
            query: as typed.
            mode: what the answer holds besides the map.

        Raises:
            InvalidInputError: at once, before any event: features or query cannot be used as given.
        """
        return self._decode(self.start(self.question(clip_tokens, query, mode)))

    def reason_cached(self, digest: str, query: str, mode: Mode) -> Iterator[ReasonEvent] | None:
        """Like `reason` for features sent before, named by `Tensor.digest`; None where they are needed."""
        question = self.question_cached(digest, query, mode)
        return None if question is None else self._decode(self.start(question))

    def question(self, clip_tokens: Tensor, query: str, mode: Mode) -> Question:
        """Check what `reason` is given, and compute nothing yet.

        Raises:
            InvalidInputError: features or query cannot be used as given.
        """
        config = self._model.config
        expected = (2, config.image_tokens, config.clip_width)
        if clip_tokens.dtype != "bfloat16" or clip_tokens.shape != expected:
            raise InvalidInputError(
                f"clip_tokens is {clip_tokens.dtype} {clip_tokens.shape}; expected bfloat16 {expected}: "
                "use the vision encoder of the same checkpoint"
            )
        return Question(prompt=self._prompt(query, mode), source=clip_tokens, digest=clip_tokens.digest)

    def question_cached(self, digest: str, query: str, mode: Mode) -> Question | None:
        """A question about features sent before; None where neither they nor their prefix are held.

        Raises:
            InvalidInputError: the query cannot be used as given.
        """
        prompt = self._prompt(query, mode)
        prefix = self.prefixes.get(self._key(digest))
        return None if prefix is None else Question(prompt=prompt, source=prefix, digest=digest)

    def is_cold(self, question: Question) -> bool:
        """Whether the pair's prefix is still to be computed."""
        return isinstance(question.source, Tensor) and self._key(question.digest) not in self.prefixes

    def start(self, question: Question) -> Answering:
        """Make sure of the pair's prefix; the passes of the answer itself are still to be run.

        Raises:
            InvalidInputError: the features are not finite.
        """
        model, prompt, source = self._model, question.prompt, question.source
        if isinstance(source, Tensor):
            prefix = self.prefixes.get_or_make(
                self._key(question.digest),
                lambda: prefill(model, to_torch(source, name="clip_tokens"), prompt.prefix),
            )
        else:
            prefix = source
        decoding = Decoding(
            model,
            prompt.suffix,
            limit=model.config.max_new_tokens,
            guesses=self._guesses[prompt.mode],
            first_turn=first_turn_of(prompt, self._guesses[Mode.SHORT]),
        )
        return Answering(model.tokenizer, prefix, decoding)

    def batch(self) -> AnswerBatch:
        """An empty batch, for answers of `start`; belongs to the thread that runs it."""
        return AnswerBatch(self._model)

    def _prompt(self, query: str, mode: Mode) -> Prompt:
        config = self._model.config
        prompt = build_prompt(self._model.tokenizer, query, mode, decide_first=config.decide_first)
        images = 2 * (config.image_tokens - 1)
        turns = 2 if prompt.follow_up else 1
        fixed = len(prompt.prefix) + images + len(prompt.suffix) - prompt.query_tokens
        fixed += len(prompt.follow_up) + turns * config.max_new_tokens
        room = min(config.max_query_tokens, config.llm.max_positions - fixed)
        if prompt.query_tokens > room:
            raise InvalidInputError(f"query takes {prompt.query_tokens} tokens; shorten it to at most {room}")
        return prompt

    def _key(self, digest: str) -> tuple[str, ...]:
        return (self._description.fingerprint, digest)

    def _decode(self, answer: Answering) -> Iterator[ReasonEvent]:
        rows = Rows(self._model, [answer.prefix])
        while not answer.decoding.finished:
            step(rows, [answer.decoding])
            yield from answer.events()

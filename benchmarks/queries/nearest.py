"""The control that knows what texts resemble and nothing else: sentence embeddings of the training's phrases.

A query gets the target of the phrases next to it, by a vote of the nearest ones, or of a linear classifier on
the same embeddings. Neither reads an image or writes an answer. If one of them does as well as the model on
implicit phrases, the model does not reason beyond what resemblance gives.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from reasoncd.ontology import MAIN_CLASSES, TARGET_BY_KEY, TARGETS, Target
from training.queries import PhraseBank, explicit_queries
from training.queries.kept_vectors import F32, Embedder, kept_vectors

# All four numbers are those that did best on the development queries: a control should be strong.
NEIGHBOURS = 40
_SHARPNESS = 10.0
"""A neighbour's vote is exp(10 cosine): one that is .1 nearer counts almost three times as much."""
_DECAY = 3e-5
"""Weight decay of the linear classifier."""
_ROUNDS = 100
# The protocol asks about the main classes: their parts count for the whole, what is no part is left out.
_WHOLE = {"tree": "vegetation", "low_vegetation": "vegetation"}


class NearestPhrases:
    """Finds a query's target among the training's phrases.

    Args:
        embedder: texts to vectors.
        phrases: the bank; off-topic lines are a target of their own.
        keep: whether the phrases' vectors are kept in the cache for the next run.
    """

    def __init__(self, embedder: Embedder, phrases: PhraseBank, *, keep: bool = True) -> None:
        lines = _lines(phrases)
        self._embedder = embedder
        self._targets: tuple[Target | None, ...] = tuple(dict.fromkeys(target for _, target in lines))
        places = {target: i for i, target in enumerate(self._targets)}
        self._labels = np.array([places[target] for _, target in lines])
        texts = [text for text, _ in lines]
        self._vectors = kept_vectors(embedder, texts) if keep else embedder.embed(texts)
        self._weight: tuple[F32, F32] | None = None
        self._known: dict[str, F32] = {}

    def vote(self, query: str) -> Target | None:
        """The target that the nearest phrases vote for; None for off-topic."""
        closeness = self._vectors @ self._vector(query)
        nearest = np.argsort(-closeness, kind="stable")[:NEIGHBOURS]
        votes = np.bincount(
            self._labels[nearest],
            weights=np.exp(_SHARPNESS * (closeness[nearest] - closeness[nearest[0]])),
            minlength=len(self._targets),
        )
        return self._targets[int(votes.argmax())]

    def classify(self, query: str) -> Target | None:
        """The target that logistic regression on the embeddings finds; None for off-topic."""
        if self._weight is None:
            self._weight = _regression(self._vectors, self._labels, len(self._targets))
        weight, bias = self._weight
        return self._targets[int((weight @ self._vector(query) + bias).argmax())]

    def _vector(self, query: str) -> F32:
        if query not in self._known:
            self._known[query] = self._embedder.embed([query])[0]
        return self._known[query]


def _lines(phrases: PhraseBank) -> list[tuple[str, Target | None]]:
    """Every wording of the bank and every plain one, with its target among those that are asked."""
    found: list[tuple[str, Target | None]] = []
    for target in TARGETS:
        asked = TARGET_BY_KEY.get(f"{_WHOLE.get(target.cls, target.cls)}.{target.direction}", target)
        if asked.cls not in MAIN_CLASSES:
            continue
        texts = [p.query for p in phrases.implicit.get(target.key, ())]
        texts += [*phrases.synonyms.get(target.key, ()), *explicit_queries(target)]
        found += [(text, asked) for text in texts]
    return found + [(p.query, None) for p in phrases.off_topic]


def _regression(vectors: F32, labels: NDArray[np.int64], classes: int) -> tuple[F32, F32]:
    """Multinomial logistic regression -> weight (classes, D) and bias (classes,)."""
    x, y = torch.from_numpy(np.array(vectors)), torch.from_numpy(labels)
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, y) + _DECAY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach().numpy(), bias.detach().numpy()

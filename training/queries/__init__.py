"""What people ask: the phrase bank and the generated wordings, with the answers that are trained."""

from training.queries.bank import Phrase, PhraseBank, explicit_queries, load_phrases, phrases_sha256
from training.queries.sampler import QuerySampler, TrainingQuery

__all__ = [
    "Phrase",
    "PhraseBank",
    "QuerySampler",
    "TrainingQuery",
    "explicit_queries",
    "load_phrases",
    "phrases_sha256",
]

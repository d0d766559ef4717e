"""Sentence embeddings."""

import numpy as np
import pytest

from training.queries.embedding import SentenceEmbedder, fetch_embedder


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder(fetch_embedder())


def test_rows_are_unit_vectors_in_the_order_of_the_texts(embedder: SentenceEmbedder) -> None:
    texts = ["a pond dried up", "where did people get more living space in this old town", "new lane", ""]
    rows = embedder.embed(texts)
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    for text, row in zip(texts, rows, strict=True):
        # Alone and in a padded batch the same.
        np.testing.assert_allclose(embedder.embed([text])[0], row, atol=1e-4)


def test_alike_in_meaning_is_closer_than_alike_in_words(embedder: SentenceEmbedder) -> None:
    asked, meant, worded = embedder.embed(
        ["the lake has dried out", "the pond is empty now", "the paint has dried out"]
    )
    assert asked @ meant > asked @ worded


def test_no_text_gives_no_row(embedder: SentenceEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)

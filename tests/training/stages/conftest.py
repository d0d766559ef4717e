"""One small batch of drawn scenes."""

import numpy as np
import pytest

from training.data.batches import PairBatch, make_batch
from training.data.scenes import render_pair


@pytest.fixture(scope="session")
def scene_batch() -> PairBatch:
    """Two pairs of 128 pixels, which is what `paper_tiny` takes, and two questions on each."""
    pairs = [render_pair(np.random.default_rng((1, i)), size=128) for i in range(2)]
    return make_batch(pairs, np.random.default_rng(0), queries_per_pair=2)

"""The paper's six metrics against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from benchmarks.measuring import measures
from training.data.labels import UNKNOWN
from training.metrics import Confusion

pytestmark = pytest.mark.unit


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    changed=st.floats(0.02, 0.98),
    marked=st.floats(0.02, 0.98),
    agreement=st.floats(0, 1),
)
def test_each_metric_is_scikit_learns(seed: int, changed: float, marked: float, agreement: float) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random((40, 30)) < changed).astype(np.uint8)
    shown = np.where(rng.random(truth.shape) < agreement, truth == 1, rng.random(truth.shape) < marked)
    truth[rng.random(truth.shape) < 0.1] = UNKNOWN
    found = Confusion.of(shown, truth)
    known = truth != UNKNOWN
    true, said = truth[known], shown[known].astype(np.uint8)
    assert found.precision == pytest.approx(metrics.precision_score(true, said, zero_division=0))
    assert found.recall == pytest.approx(metrics.recall_score(true, said, zero_division=0))
    assert found.f1 == pytest.approx(metrics.f1_score(true, said, zero_division=0))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(true, said))
    assert found.iou == pytest.approx(metrics.jaccard_score(true, said, zero_division=0))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(true, said), abs=1e-9)


def test_macro_figures_and_auroc_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    truths = (rng.random((3, 500)) < 0.3).astype(np.uint8)
    shown = rng.random((3, 500)) < 0.4
    rows = [
        (0, str(i), Confusion.of(a[None], t[None]))
        for i, (a, t) in enumerate(zip(shown, truths, strict=True))
    ]
    counts, _ = measures.pixel_counts(rows)
    found = measures.macro(counts.sum(axis=0))
    # Targets as the labels of one multi-label question a pixel.
    assert found["f1"] == pytest.approx(metrics.f1_score(truths.T, shown.T, average="macro"))
    assert found["iou"] == pytest.approx(metrics.jaccard_score(truths.T, shown.T, average="macro"))
    scores, labels = rng.integers(0, 9, 200) / 8, rng.random(200) < 0.4
    value = measures.auroc(scores[labels].tolist(), scores[~labels].tolist())
    assert value == pytest.approx(metrics.roc_auc_score(labels, scores))

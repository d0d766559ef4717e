"""What a question means, as fields of a JSON sample."""

import pytest

from reasoncd.ontology import TARGETS
from training.data.sample_labels import LABEL_FIELDS, LEVELS, label_fields, read_label

pytestmark = pytest.mark.unit


def test_every_target_and_level_comes_back() -> None:
    for target in (*TARGETS, None):
        for level in (*LEVELS, None):
            fields = label_fields(target, level)
            assert set(fields) <= set(LABEL_FIELDS)
            assert read_label(fields, "here") == (target, level)
    assert read_label({}, "here") == (None, None)

"""The heads that only training has."""

from math import exp, log

import pytest
import torch

from training.data.labels import LandCover, target_truth
from training.stages.auxiliary import (
    BASE_CLASSES,
    DENSE_TARGETS,
    DenseChangeHead,
    LandCoverHead,
    allowed_classes,
    balance,
    dense_truth_table,
    shrink_codes,
)

pytestmark = pytest.mark.unit

CODES = len(LandCover)


def _allowed(code: LandCover) -> set[str]:
    return {c for c, yes in zip(BASE_CLASSES, allowed_classes()[code].tolist(), strict=True) if yes}


def test_a_code_allows_what_it_does_not_rule_out() -> None:
    assert "vegetation" not in BASE_CLASSES
    assert _allowed(LandCover.UNKNOWN) == set(BASE_CLASSES)
    assert _allowed(LandCover.BUILDING) == {"building"}
    assert _allowed(LandCover.VEGETATION) == {"tree", "low_vegetation"}
    assert _allowed(LandCover.NOT_BUILDING) == set(BASE_CLASSES) - {"building"}
    assert all(_allowed(code) for code in LandCover)


def test_the_dense_table_is_the_targets_truth() -> None:
    table = dense_truth_table()
    assert table.shape == (CODES * CODES, len(DENSE_TARGETS))
    for a in LandCover:
        for b in LandCover:
            row = table[a * CODES + b].tolist()
            assert row == [target_truth(t, a, b) for t in DENSE_TARGETS]


def test_cells_take_the_pixel_at_their_middle() -> None:
    lands = torch.arange(64, dtype=torch.uint8).view(8, 8)
    assert shrink_codes(lands, 2).tolist() == [[18, 22], [50, 54]]
    assert shrink_codes(lands[None], 4).shape == (1, 4, 4)
    assert torch.equal(shrink_codes(lands, 8), lands)


def _land_head(logits: dict[str, float]) -> LandCoverHead:
    """Says the same everywhere."""
    head = LandCoverHead(3)
    torch.nn.init.zeros_(head.predict.weight)
    assert head.predict.bias is not None
    with torch.no_grad():
        head.predict.bias.copy_(torch.tensor([logits.get(c, 0.0) for c in BASE_CLASSES]))
    return head


def test_land_cover_is_asked_cell_by_cell_and_unknown_cells_not_at_all() -> None:
    head = _land_head({"tree": 2.0, "water": 1.0})
    total = exp(2.0) + exp(1.0) + len(BASE_CLASSES) - 2
    lands = torch.zeros(1, 4, 4, dtype=torch.uint8)
    lands[0, :2, :2] = LandCover.WATER
    lands[0, 2:, 2:] = LandCover.VEGETATION
    by_hand = (-log(exp(1.0) / total) - log((exp(2.0) + 1.0) / total)) / 2
    loss = head(torch.randn(1, 3, 2, 2), lands)
    assert loss.item() == pytest.approx(by_hand, abs=1e-5)
    assert head(torch.randn(1, 3, 2, 2), torch.zeros_like(lands)).item() == 0.0


def test_dense_change_asks_for_gain_and_loss_where_they_are_known() -> None:
    head = DenseChangeHead(3)
    torch.nn.init.zeros_(head.predict.weight)
    assert head.predict.bias is not None
    torch.nn.init.constant_(head.predict.bias, 1.5)
    lands = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    lands[0, :, :2, :2] = LandCover.BARE_GROUND
    lands[0, 1, :2, :2] = LandCover.BUILDING
    # One cell is known: bare ground lost and building gained are there, the other 14 are not.
    no = log(1 + exp(1.5))
    yes = log(1 + exp(-1.5))
    sure = 1 / (1 + exp(-1.5))
    dice = 1 - (2 * sure + 1) / (sure + 1 + 1)
    by_hand = (2 * yes + 14 * no) / 16 + dice
    assert len(DENSE_TARGETS) == 16
    assert head(torch.randn(1, 3, 2, 2), lands).item() == pytest.approx(by_hand, abs=1e-5)
    assert head(torch.randn(1, 3, 2, 2), torch.zeros_like(lands)).item() == 0.0


def test_rare_codes_weigh_more_but_not_without_bound() -> None:
    codes = torch.full((1, 10, 10), int(LandCover.BARE_GROUND))
    codes[0, 0, 0] = int(LandCover.ROAD)
    codes[0, 1:5] = int(LandCover.WATER)
    weight = balance(codes)
    assert weight[0, 0, 0].item() == pytest.approx(5.0)
    assert weight[0, 2, 2].item() == pytest.approx(0.4**-0.5)
    assert weight[0, 9, 9].item() == pytest.approx(0.59**-0.5)


def test_the_tables_are_no_part_of_the_weights() -> None:
    assert sorted(LandCoverHead(3).state_dict()) == ["predict.bias", "predict.weight"]
    assert sorted(DenseChangeHead(3).state_dict()) == ["predict.bias", "predict.weight"]

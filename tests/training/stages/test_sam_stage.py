"""Pretraining of the SAM encoder."""

import pytest
import torch

from services.vision_encoder.config import paper_tiny
from services.vision_encoder.sam import SamImageEncoder
from training.data.batches import PairBatch
from training.data.labels import LandCover
from training.stages.sam import SamPretraining, border_cells, land_probe_features

pytestmark = pytest.mark.unit


def test_a_border_is_where_a_cell_holds_two_codes() -> None:
    lands = torch.full((1, 8, 8), LandCover.WATER, dtype=torch.uint8)
    lands[0, 3, 3] = LandCover.ROAD
    lands[0, 6, 1] = LandCover.UNKNOWN
    truth, known = border_cells(lands, 2)
    assert truth[0, 0].tolist() == [True, False]
    assert known.tolist() == [[[True, True], [False, True]]]


def test_losses_add_up_and_reach_the_encoder(scene_batch: PairBatch) -> None:
    torch.manual_seed(0)
    stage = SamPretraining(paper_tiny())
    losses = stage(scene_batch)
    assert set(losses) == {"land", "border", "loss"}
    torch.testing.assert_close(losses["loss"], losses["land"] + 0.5 * losses["border"])
    losses["loss"].backward()
    for name, parameter in stage.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


def test_unknown_land_teaches_nothing(scene_batch: PairBatch) -> None:
    scene_batch = PairBatch(
        images=scene_batch.images, lands=torch.zeros_like(scene_batch.lands), truth=scene_batch.truth,
        target_index=scene_batch.target_index, pair_index=scene_batch.pair_index,
        presence=scene_batch.presence,
    )  # fmt: skip
    losses = SamPretraining(paper_tiny())(scene_batch)
    assert losses["loss"].item() == 0.0


def test_probe_features_stand_beside_their_own_cells_code() -> None:
    torch.manual_seed(0)
    encoder = SamImageEncoder(paper_tiny().sam, 128).eval()
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    lands = torch.randint(0, 8, (2, 128, 128), dtype=torch.uint8)
    features, codes = land_probe_features(encoder, images, lands)
    with torch.no_grad():
        maps = encoder(images)
    assert features.shape == (2 * 8 * 8, 32)
    row = 1 * 64 + 2 * 8 + 5
    assert torch.equal(features[row], maps[1, :, 2, 5])
    assert codes[row] == lands[1, 2 * 16 + 8, 5 * 16 + 8]

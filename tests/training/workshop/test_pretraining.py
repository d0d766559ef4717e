"""Linear probes, and putting pretrained encoders where they belong."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import paper_tiny
from services.vision_encoder.sam import SamImageEncoder
from training.data.bank import BankConfig, PairBank, build_bank
from training.run.loop import RunConfig
from training.workshop.pretraining import linear_probe, load_clip, load_sam, pretrain_clip, pretrain_sam

pytestmark = pytest.mark.unit

RUN = RunConfig(steps=2, learning_rate=1e-3, warmup_steps=1, micro_batch=2, log_steps=2)


def _clouds(count: int, seed: int, *, apart: float) -> tuple[Tensor, Tensor]:
    """Features of three classes, of which the last is rare."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.tensor([0, 1] * (count // 2) + [2] * (count // 10))
    centres = apart * torch.eye(4)[:3]
    return centres[classes] + torch.randn(len(classes), 4, generator=generator), classes


def test_a_probe_finds_what_is_there_and_guesses_where_nothing_is() -> None:
    assert linear_probe(_clouds(400, 0, apart=9.0), _clouds(400, 1, apart=9.0)) > 0.97
    assert linear_probe(_clouds(2000, 0, apart=0.0), _clouds(2000, 1, apart=0.0)) == pytest.approx(
        1 / 3, abs=0.1
    )


def test_a_probe_counts_classes_alike() -> None:
    features = torch.tensor([[1.0], [1.0], [1.0], [-1.0], [-1.0]])
    train = (features, torch.tensor([0, 0, 0, 1, 1]))
    test = (torch.tensor([[1.0]] * 9 + [[1.0], [-1.0]]), torch.tensor([0] * 9 + [1, 1]))
    # All nine of the first class are found, one of two of the second.
    assert linear_probe(train, test) == pytest.approx((1.0 + 0.5) / 2)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> PairBank:
    config = BankConfig(count=2, size=128, seed=2, real_data=False)
    return PairBank(build_bank(tmp_path_factory.mktemp("banks"), config))


def test_a_pretrained_sam_encoder_is_loaded_whole(bank: PairBank, tmp_path: Path) -> None:
    weights = pretrain_sam(bank, paper_tiny(), RUN, tmp_path)
    assert weights is not None
    one, other = SamImageEncoder(paper_tiny().sam, 128), SamImageEncoder(paper_tiny().sam, 128)
    load_sam(one, weights)
    load_sam(other, weights)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_pretrained_clip_tower_is_loaded_whole(bank: PairBank, tmp_path: Path) -> None:
    weights = pretrain_clip(bank, paper_tiny().clip, RUN, tmp_path)
    assert weights is not None
    one, other = ClipPatchEncoder(paper_tiny().clip), ClipPatchEncoder(paper_tiny().clip)
    load_clip(one, weights)
    load_clip(other, weights)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    encoder = SamImageEncoder(paper_tiny().sam, 128)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state.pop("encoder.encoder.pos_embed")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(RuntimeError, match=r"Missing key.*pos_embed"):
        load_sam(encoder, tmp_path / "weights.safetensors")

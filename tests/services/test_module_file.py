from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reasoncd.errors import CheckpointError, NotFoundError
from services.module_file import load_module, save_module

pytestmark = pytest.mark.unit


def _module() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    module.register_buffer("frequencies", torch.randn(2, 5))
    module(torch.randn(2, 3, 8, 8))  # Moves the batch statistics.
    return module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "module.safetensors"
    save_module(_module().to(memory_format=torch.channels_last), path)
    return path


def test_only_what_is_learned_and_large_is_shortened(path: Path) -> None:
    stored = {key: tensor.dtype for key, tensor in load_file(path).items()}
    assert stored == {
        "0.weight": torch.bfloat16,
        "0.bias": torch.float32,
        "1.weight": torch.float32,
        "1.bias": torch.float32,
        "1.running_mean": torch.float32,
        "1.running_var": torch.float32,
        "1.num_batches_tracked": torch.int64,
        "frequencies": torch.float32,
    }


def test_round_trip(path: Path) -> None:
    back, original = _module(), _module()
    with torch.no_grad():
        for tensor in back.state_dict().values():
            tensor.zero_()
    load_module(back, path)
    for key, tensor in back.state_dict().items():
        expected = original.state_dict()[key]
        assert tensor.dtype == expected.dtype
        assert torch.equal(tensor, expected.bfloat16().float() if key == "0.weight" else expected)


def test_full_precision_on_request(tmp_path: Path) -> None:
    save_module(_module(), tmp_path / "x.safetensors", dtype=torch.float32)
    assert torch.equal(load_file(tmp_path / "x.safetensors")["0.weight"], _module().state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"0.weight": None}, "lacks 1 keys: 0.weight"),
        ({"2.weight": torch.zeros(1)}, "unknown 1 keys: 2.weight"),
        ({"0.bias": torch.zeros(5)}, r"0.bias has shape \(5,\) instead of \(4,\)"),
        ({"1.num_batches_tracked": torch.tensor(1.5)}, "num_batches_tracked holds torch.float32"),
    ],
)
def test_what_does_not_fit_is_named(path: Path, change: dict[str, torch.Tensor | None], said: str) -> None:
    state = {**load_file(path), **change}
    save_file({k: v for k, v in state.items() if v is not None}, path)
    module = _module()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        load_module(module, path)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_files_that_are_none(path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.safetensors is missing"):
        load_module(_module(), path.with_name("absent.safetensors"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        load_module(_module(), path)

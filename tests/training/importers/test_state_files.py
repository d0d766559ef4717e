import pickle
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reasoncd.errors import CheckpointError, CorruptDataError, NotFoundError
from training.importers.state_files import load_into, read_state

pytestmark = pytest.mark.unit

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def _same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[k], v) for k, v in STATE.items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrapped",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE, "args": [1, 2]},
        {f"module.{key}": value for key, value in STATE.items()},
    ],
    ids=["plain", "ordered", "state_dict", "model", "parallel"],
)
def test_every_wrapping_is_undone(tmp_path: Path, zipped: bool, wrapped: object) -> None:
    torch.save(wrapped, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert _same(read_state(tmp_path / "x.pth"))


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "x.safetensors")
    assert _same(read_state(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_acts_is_refused_and_not_run(
    tmp_path: Path, acting: tuple[object, Path], zipped: bool
) -> None:
    harmful, mark = acting
    torch.save({**STATE, "b": harmful}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="more than plain tensors, and nothing of it was run"):
        read_state(tmp_path / "x.pth")
    assert not mark.exists()
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert mark.exists()  # The file was a real danger.


def test_a_bare_pickle_that_acts_is_refused(tmp_path: Path, acting: tuple[object, Path]) -> None:
    harmful, mark = acting
    (tmp_path / "x.pth").write_bytes(pickle.dumps(harmful))
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        read_state(tmp_path / "x.pth")
    assert not mark.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files(tmp_path: Path, zipped: bool, share: float) -> None:
    path = tmp_path / "x.pth"
    torch.save({"w": torch.randn(64, 64)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises((CorruptDataError, CheckpointError), match=re.escape(str(path))):
        read_state(path)


def test_truncated_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_state(path)


def test_a_program_is_no_state_dict(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="TorchScript program"):
        read_state(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "holds list instead of a state dict"),
        (torch.ones(1), "holds Tensor instead"),
        ({}, "instead of a state dict"),
        ({"a": torch.ones(1), "lr": 0.1}, "'lr', which is no tensor"),
        ({1: torch.ones(1)}, "1, which is no tensor"),
    ],
)
def test_other_contents(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=said):
        read_state(tmp_path / "x.pth")


def test_text_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match="no torch file"):
        read_state(tmp_path / "x.pth")
    with pytest.raises(NotFoundError, match=r"absent\.pth is not there"):
        read_state(tmp_path / "absent.pth")


def test_nothing_is_changed_where_one_module_does_not_fit(tmp_path: Path) -> None:
    first, second = nn.Linear(2, 2), nn.Linear(3, 3)
    before = first.weight.clone()
    state = {
        "1.weight": torch.zeros(2, 2),
        "1.bias": torch.zeros(2),
        "2.weight": torch.zeros(3, 4),
        "2.bias": torch.zeros(3),
    }
    with pytest.raises(CheckpointError, match=r"2.weight has shape \(3, 4\) instead of \(3, 3\)"):
        load_into({"1.": first, "2.": second}, state, where=tmp_path / "x.pth")
    assert torch.equal(first.weight, before)

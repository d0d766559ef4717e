"""The checkpoint format: what is written is read back, and no damage or trick goes unnamed."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from reasoncd.base_models import BaseModelRef
from reasoncd.checkpoint import (
    COMPONENTS,
    Checkpoint,
    Component,
    Thresholds,
    checked_state_dict_keys,
    mint_seg_space,
    write_checkpoint,
)
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from reasoncd.folders import list_files, sha256_of

SPACE = "seg-" + "0" * 32
BASE = BaseModelRef(name="tiny-llama", sha256="ab" * 32)
CONFIGS: dict[Component, dict[str, Any]] = {
    "vision_encoder": {"width": 8},
    "reasoner": {"rank": 2, "targets": ["q_proj"]},
    "mask_decoder": {"depth": 1},
}
WEIGHTS = "mask_decoder/model.safetensors"


def write_files(folder: Path, *, value: float = 0.0) -> None:
    save_file({"w": np.full(8, value, np.float32)}, folder / "vision_encoder" / "clip.safetensors")
    save_file({"w": np.full(4, value, np.float32)}, folder / "reasoner" / "adapter_model.safetensors")
    save_file({"w": np.full(4, value, np.float32)}, folder / "reasoner" / "seg_head.safetensors")
    (folder / "reasoner" / "adapter_config.json").write_text("{}")
    (folder / "reasoner" / "tokenizer.json").write_text('{"model": {}}')
    save_file({"w": np.full((16, 16), value, np.float32)}, folder / WEIGHTS)
    (folder / "README.md").write_text("# A model\n")


def write(path: Path, *, writer: Callable[[Path], None] = write_files, **changes: Any) -> Checkpoint:
    arguments: dict[str, Any] = {
        "preset": "tiny",
        "configs": CONFIGS,
        "thresholds": Thresholds(presence=0.25, probability=0.5),
        "seg_space": {"reasoner": SPACE, "mask_decoder": SPACE},
        "base_models": {"reasoner": BASE},
    }
    return write_checkpoint(path, writer=writer, **(arguments | changes))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("template") / "tiny").path


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A checkpoint of the test's own (copied, since writing one waits for the disk)."""
    return Path(shutil.copytree(template, tmp_path / "tiny"))


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the manifest as an attacker could: hashes of what is there, then `change`."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        name: {"sha256": sha256_of(folder / name), "size": (folder / name).stat().st_size}
        for name in list_files(folder)
        if name != "manifest.json"
    }
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refusal(folder: Path, *, verify: bool = True) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder, verify=verify)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("verify", [True, False])
def test_round_trip(folder: Path, verify: bool) -> None:
    checkpoint = Checkpoint.open(folder, verify=verify)
    assert checkpoint.path == folder
    assert checkpoint.preset == "tiny"
    assert {c: checkpoint.config(c) for c in COMPONENTS} == CONFIGS
    assert (checkpoint.presence_threshold, checkpoint.probability_threshold) == (0.25, 0.5)
    assert checkpoint.seg_space == checkpoint.seg_space_of("reasoner") == SPACE
    assert checkpoint.base_models == {"reasoner": BASE}
    assert checkpoint.safetensors("reasoner", "seg_head") == folder / "reasoner" / "seg_head.safetensors"
    assert checkpoint.file("reasoner", "tokenizer.json").read_text() == '{"model": {}}'


def test_writing_returns_what_opening_reads(tmp_path: Path) -> None:
    written, opened = write(tmp_path / "a"), Checkpoint.open(tmp_path / "a")
    assert written.path == opened.path
    assert [written.fingerprint(c) for c in COMPONENTS] == [opened.fingerprint(c) for c in COMPONENTS]


def test_layout_on_disk(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert {name: config.pop(name) for name in COMPONENTS} == CONFIGS
    assert config == {
        "preset": "tiny",
        "format_version": 1,
        "thresholds": {"presence": 0.25, "probability": 0.5},
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == set(list_files(folder)) - {"manifest.json"}
    assert manifest["base_models"] == {"reasoner": {"name": "tiny-llama", "sha256": "ab" * 32}}


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_config_is_a_copy(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    checkpoint.config("reasoner")["targets"].append("v_proj")
    assert checkpoint.config("reasoner") == CONFIGS["reasoner"]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"configs": CONFIGS | {"mask_decoder": {"depth": 2}}}, {"mask_decoder"}),
        ({"base_models": {"reasoner": BaseModelRef(name="tiny-llama", sha256="cd" * 32)}}, {"reasoner"}),
        ({"writer": lambda folder: write_files(folder, value=1.0)}, set(COMPONENTS)),
        ({"thresholds": Thresholds(presence=0.9, probability=0.9), "preset": "other"}, set()),
    ],
)
def test_fingerprints_follow_their_component_alone(
    folder: Path, tmp_path: Path, changes: dict[str, Any], changed: set[str]
) -> None:
    one, other = Checkpoint.open(folder), write(tmp_path / "other", **changes)
    assert {c for c in COMPONENTS if one.fingerprint(c) != other.fingerprint(c)} == changed


def test_absent_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        Checkpoint.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["config.json", "manifest.json", "README.md", WEIGHTS, "reasoner/tokenizer.json"]
)
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"`{name}` is missing" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["reasoner/adapter_config.json", "reasoner/adapter_model.safetensors", "README.md"]
)
def test_required_file_missing_from_the_manifest_too(folder: Path, name: str) -> None:
    (folder / name).unlink()
    forge(folder, lambda manifest: None)
    assert f"`{name}` is missing" in refusal(folder)


def test_component_without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    forge(folder, lambda manifest: None)
    assert "`mask_decoder/*.safetensors` is missing" in refusal(folder)


def test_extra_file(folder: Path) -> None:
    (folder / "mask_decoder" / "notes.txt").write_text("hello")
    assert "`mask_decoder/notes.txt` is extra" in refusal(folder)


def test_truncated_file(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-4])
    message = refusal(folder, verify=False)
    assert f"`{WEIGHTS}` is truncated" in message


@pytest.mark.parametrize("name", [WEIGHTS, "reasoner/tokenizer.json", "config.json", "README.md"])
def test_one_altered_byte(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    assert f"`{name}` is altered" in refusal(folder)


def test_every_damaged_file_is_named_at_once(folder: Path) -> None:
    (folder / "reasoner" / "tokenizer.json").unlink()
    (folder / "extra.md").write_text("x")
    (folder / WEIGHTS).write_bytes(b"")
    message = refusal(folder)
    assert all(name in message for name in ("reasoner/tokenizer.json", "extra.md", WEIGHTS))


@pytest.mark.parametrize(
    "name", ["reasoner/model.bin", "reasoner/model.pth", "code.py", "reasoner/tokenizer"]
)
def test_kinds_that_do_not_belong(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    forge(folder, lambda manifest: None)
    assert f"`{name}`" in refusal(folder)


def test_renamed_pickle_is_refused_though_the_manifest_lists_it(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps({"w": list(range(100))}))
    forge(folder, lambda manifest: None)
    message = refusal(folder)
    assert f"{folder / WEIGHTS} is not a safetensors file" in message


def test_bad_safetensors_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((100).to_bytes(8, "little") + b"{}")
    forge(folder, lambda manifest: None)
    assert f"{folder / WEIGHTS} is not a safetensors file" in refusal(folder, verify=False)


@pytest.mark.parametrize("directory", [False, True])
def test_links_out_of_the_folder(folder: Path, tmp_path: Path, directory: bool) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(folder / "mask_decoder", outside)
    if directory:
        shutil.rmtree(folder / "mask_decoder")
        (folder / "mask_decoder").symlink_to(outside)
    else:
        (folder / WEIGHTS).unlink()
        (folder / WEIGHTS).symlink_to(outside / "model.safetensors")
    name = "mask_decoder" if directory else WEIGHTS
    assert f"`{name}` is a symbolic link" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "/etc/passwd",
        "reasoner/../../secret.txt",
        "./a.txt",
        "a//b.txt",
        "a\\b.txt",
        "",
        "a\nb.txt",
    ],
)
def test_manifest_names_that_lead_elsewhere(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("x")
    record = {"sha256": sha256_of(tmp_path / "secret.txt"), "size": 1}
    forge(folder, lambda manifest: manifest["files"].update({name: record}))
    assert f"file name {name!r} does not lead" in refusal(folder)


def _set(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("format_version", value=2), "format version 2"),
        (_set("format_version", value="1"), "format version '1'"),
        (_set("surprise", value=1), "`surprise` is unknown"),
        (_set("seg_space", value={"reasoner": SPACE}), "seg_space"),
        (_set("seg_space", "reasoner", value="a b"), "seg_space of reasoner"),
        (_set("fingerprints", "reasoner", value="0" * 64), "the fingerprint of reasoner"),
        (_set("fingerprints", value={}), "the fingerprint of vision_encoder"),
        (_set("base_models", "reasoner", "sha256", value="cd" * 32), "the fingerprint of reasoner"),
        (_set("base_models", "reasoner", "sha256", value="short"), "no SHA-256"),
        (_set("base_models", "gateway", value={"name": "a", "sha256": "ab" * 32}), "gateway"),
    ],
)
def test_manifests_that_say_what_is_not_so(
    folder: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    forge(folder, change)
    assert named in refusal(folder)


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("thresholds", "presence"), 1.5, "presence threshold 1.5"),
        (("thresholds", "probability"), 0, "probability threshold 0"),
        (("thresholds", "probability"), "0.5", "`thresholds.probability`"),
        (("reasoner",), [], "`reasoner`"),
        (("format_version",), 7, "format version 7"),
        (("reasoner", "rank"), 3, "the fingerprint of reasoner"),
    ],
)
def test_configs_that_cannot_be(folder: Path, keys: tuple[str, ...], value: Any, named: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    _set(*keys, value=value)(config)
    (folder / "config.json").write_text(json.dumps(config))
    forge(folder, lambda manifest: None)
    assert named in refusal(folder)


def test_garbled_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": ')
    assert "manifest.json is not valid JSON" in refusal(folder)


def test_other_seg_space_names_both_sides(tmp_path: Path) -> None:
    ours, theirs = mint_seg_space(), mint_seg_space()
    assert ours != theirs
    checkpoint = write(tmp_path / "a", seg_space={"reasoner": ours, "mask_decoder": theirs})
    assert checkpoint.seg_space_of("mask_decoder") == theirs
    with pytest.raises(CheckpointError) as caught:
        _ = checkpoint.seg_space
    assert ours in caught.value.message and theirs in caught.value.message


@pytest.mark.parametrize("name", ["nothing", "../mask_decoder/model"])
def test_files_that_the_manifest_lacks_have_no_path(folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"reasoner/{name}.safetensors"):
        Checkpoint.open(folder).safetensors("reasoner", name)


def test_raising_writer_leaves_the_old_one_intact(folder: Path) -> None:
    before = Checkpoint.open(folder).fingerprint("mask_decoder")

    def writer(new: Path) -> None:
        write_files(new, value=1.0)
        raise InvalidInputError("no weights")

    with pytest.raises(InvalidInputError, match="no weights"):
        write(folder, writer=writer)
    assert Checkpoint.open(folder).fingerprint("mask_decoder") == before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_replacing_a_checkpoint(folder: Path) -> None:
    before = Checkpoint.open(folder).fingerprint("mask_decoder")
    write(folder, writer=lambda new: write_files(new, value=1.0))
    assert Checkpoint.open(folder).fingerprint("mask_decoder") != before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["model.pt", "mask_decoder/model.pkl"])
def test_writer_may_not_put_other_kinds_there(folder: Path, name: str) -> None:
    def writer(new: Path) -> None:
        write_files(new)
        (new / name).write_bytes(b"x")

    with pytest.raises(CheckpointError, match=name):
        write(folder, writer=writer)
    Checkpoint.open(folder)


def test_writer_that_forgets_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"README\.md.*is missing"):
        write(tmp_path / "a", writer=lambda new: None)
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_ever_replaced(folder: Path, tmp_path: Path) -> None:
    (folder / "log.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"log\.txt"):
        write(folder)
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        write(home)
    assert (home / "letter.txt").read_text() == (folder / "log.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"configs": {"reasoner": {}}}, "`vision_encoder` is missing"),
        ({"configs": CONFIGS | {"reasoner": {"x": object()}}}, "config.json holds what JSON cannot"),
        ({"seg_space": {"reasoner": SPACE}}, "seg_space"),
        ({"base_models": {"gateway": BASE}}, "gateway"),
        ({"preset": ""}, "the preset has no name"),
    ],
)
def test_arguments_that_make_no_checkpoint(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        write(tmp_path / "a", **changes)
    assert named in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("presence", [-0.1, 1.1, float("nan")])
def test_thresholds_have_ranges(presence: float) -> None:
    with pytest.raises(ValueError, match="presence"):
        Thresholds(presence=presence, probability=0.5)


def test_state_dict_keys() -> None:
    checked_state_dict_keys(["a", "b"], {"b": 0, "a": 1}, where="x")
    with pytest.raises(CheckpointError) as caught:
        checked_state_dict_keys([f"k{i}" for i in range(9)], ["k0", "new"], where="mask_decoder/model")
    message = caught.value.message
    assert message.startswith("mask_decoder/model does not fit")
    assert "lacks 8 keys: k1, k2, k3, k4, k5 and 3 more" in message
    assert "has unknown 1 keys: new" in message

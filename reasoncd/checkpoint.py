"""The checkpoint format: one folder that training writes and all three services read.

```
config.json      preset, one section a component, thresholds
manifest.json    size and SHA-256 of every file, fingerprints, prompt spaces, base models
README.md        the model card
vision_encoder/  *.safetensors
reasoner/        adapter_config.json and adapter_model.safetensors (peft's layout),
                 *.safetensors, the tokenizer
mask_decoder/    *.safetensors
```

Opening a checkpoint checks it whole and unpickles nothing. This module knows neither
torch nor what a component's section or tensors mean.
"""

import copy
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar
from uuid import uuid4

from reasoncd.base_models import BaseModelRef
from reasoncd.config import from_dict, read_json, to_dict, write_json
from reasoncd.errors import CheckpointError
from reasoncd.folders import differences, list_files, record_files, whole_folder
from reasoncd.manifest import (
    COMPONENTS,
    FORMAT_VERSION,
    SEG_SPACE_OWNERS,
    Component,
    ConfigFile,
    Manifest,
    SegSpaceOwner,
    Thresholds,
    fingerprint,
    section,
)
from reasoncd.safetensors_header import read_header

__all__ = [
    "ALLOWED_SUFFIXES",
    "COMPONENTS",
    "Checkpoint",
    "Component",
    "Thresholds",
    "checked_state_dict_keys",
    "mint_seg_space",
    "write_checkpoint",
]

CONFIG_FILE: Final = "config.json"
MANIFEST_FILE: Final = "manifest.json"
REQUIRED_FILES: tuple[str, ...] = (
    CONFIG_FILE,
    "README.md",
    "reasoner/adapter_config.json",
    "reasoner/adapter_model.safetensors",
)
"""Besides these and the manifest, each component has one safetensors file at least."""
ALLOWED_SUFFIXES: tuple[str, ...] = (".safetensors", ".json", ".txt", ".md", ".model")

_SHOWN_KEYS = 5


class Checkpoint:
    """A checkpoint folder whose files were checked when it was opened."""

    def __init__(self, path: Path, config: ConfigFile, manifest: Manifest) -> None:
        """For `open`; nothing is checked here."""
        self._path = path
        self._config = config
        self._manifest = manifest

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> "Checkpoint":
        """Open a checkpoint and check it.

        Args:
            path: its folder.
            verify: compare every file's SHA-256; without it names, sizes and headers are checked.

        Raises:
            NotFoundError: there is no such folder.
            CheckpointError: a file is missing, extra, truncated, altered, of a kind that does not
                belong, or no safetensors file though it is named so; or config and manifest do
                not hold what they must. The sentence names every such file.
        """
        names = list_files(path)
        _check_kinds(path, names)
        for name in (MANIFEST_FILE, CONFIG_FILE):
            if name not in names:
                raise CheckpointError(f"{path} is no whole checkpoint: `{name}` is missing; export it again")
        manifest = _read(Manifest, path / MANIFEST_FILE)
        if problems := differences(path, manifest.files, leave_out={MANIFEST_FILE}, verify=verify):
            raise CheckpointError(f"checkpoint {path} is damaged: {'; '.join(problems)}; fetch it again")
        config = _read(ConfigFile, path / CONFIG_FILE)
        _check_content(path, names)
        checkpoint = cls(path, config, manifest)
        for component in COMPONENTS:
            said = manifest.fingerprints.get(component)
            if said != fingerprint(component, config, manifest.files, manifest.base_models):
                raise CheckpointError(
                    f"checkpoint {path}: the fingerprint of {component} in `{MANIFEST_FILE}` ({said}) does "
                    "not follow from its files and configuration; export it again"
                )
        return checkpoint

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def preset(self) -> str:
        """The preset that the components were built from: `mini`, `paper` ..."""
        return self._config.preset

    @property
    def presence_threshold(self) -> float:
        """Below this presence the map is empty. In [0, 1]."""
        return self._config.thresholds.presence

    @property
    def probability_threshold(self) -> float:
        """A pixel is changed at or above it. In (0, 1)."""
        return self._config.thresholds.probability

    @property
    def base_models(self) -> dict[Component, BaseModelRef]:
        """The base model of each component that needs one."""
        return dict(self._manifest.base_models)

    @property
    def seg_space(self) -> str:
        """The prompt space that reasoner and mask decoder share.

        Raises:
            CheckpointError: they were trained in different ones.
        """
        reasoner, decoder = (self._manifest.seg_space[owner] for owner in SEG_SPACE_OWNERS)
        if reasoner != decoder:
            raise CheckpointError(
                f"checkpoint {self._path}: the reasoner speaks prompt space {reasoner} but the mask decoder "
                f"understands {decoder}; use a reasoner that was trained against this mask decoder"
            )
        return reasoner

    def seg_space_of(self, component: SegSpaceOwner) -> str:
        """The prompt space of one side, whatever the other side's is."""
        return self._manifest.seg_space[component]

    def config(self, component: Component) -> dict[str, Any]:
        """The component's section of config.json, as a copy."""
        return copy.deepcopy(section(self._config, component))

    def fingerprint(self, component: Component) -> str:
        """SHA-256 in hex over the component's section, its files and its base model."""
        return self._manifest.fingerprints[component]

    def file(self, component: Component, name: str) -> Path:
        """The path of one of the component's files: `file("reasoner", "tokenizer.json")`.

        Raises:
            CheckpointError: the manifest has no such file.
        """
        if f"{component}/{name}" not in self._manifest.files:
            raise CheckpointError(f"checkpoint {self._path} lacks `{component}/{name}`; export it again")
        return self._path / component / name

    def safetensors(self, component: Component, name: str) -> Path:
        """The path of one of the component's weight files, `name` being without `.safetensors`.

        Raises:
            CheckpointError: the manifest has no such file.
        """
        return self.file(component, f"{name}.safetensors")


def write_checkpoint(
    path: Path,
    *,
    preset: str,
    configs: Mapping[Component, Mapping[str, Any]],
    thresholds: Thresholds,
    seg_space: Mapping[SegSpaceOwner, str],
    base_models: Mapping[Component, BaseModelRef],
    writer: Callable[[Path], None],
) -> Checkpoint:
    """Write a checkpoint, whole or not at all; an older one at `path` is replaced.

    Args:
        path: the folder; it is absent, empty or a checkpoint.
        preset: the preset's name.
        configs: each component's section, of JSON values.
        thresholds: the two thresholds.
        seg_space: the prompt space of `reasoner` and of `mask_decoder`.
        base_models: the base model of each component that needs one.
        writer: is given a folder with one empty folder a component, and puts the components'
            files and README.md there. What it raises is passed on, and `path` stays as it was.

    Raises:
        CheckpointError: what was written is no valid checkpoint, or `path` holds something else.
        OutputError: the place cannot be written or the disk is full.
    """
    _check_replaceable(path)
    # Built through JSON, so that fingerprints are taken of what a reader will see.
    sections: dict[str, Any] = {str(component): values for component, values in configs.items()}
    header = {"preset": preset, "format_version": FORMAT_VERSION}
    content = header | sections | {"thresholds": to_dict(thresholds)}
    config = from_dict(ConfigFile, content, where=CONFIG_FILE)
    with whole_folder(path) as new:
        for component in COMPONENTS:
            (new / component).mkdir()
        writer(new)
        write_json(new / CONFIG_FILE, to_dict(config))
        names = list_files(new)
        _check_kinds(new, names)
        _check_content(new, names)
        files = record_files(new, leave_out={MANIFEST_FILE})
        values = {
            "format_version": FORMAT_VERSION,
            "files": {name: to_dict(record) for name, record in files.items()},
            "fingerprints": {c: fingerprint(c, config, files, base_models) for c in COMPONENTS},
            "seg_space": dict(seg_space),
            "base_models": {component: to_dict(ref) for component, ref in base_models.items()},
        }
        manifest = from_dict(Manifest, values, where=MANIFEST_FILE)
        write_json(new / MANIFEST_FILE, to_dict(manifest))
        Checkpoint.open(new, verify=False)
    return Checkpoint(path, config, manifest)


def mint_seg_space() -> str:
    """A new prompt-space id, for a mask decoder that is trained from scratch."""
    return f"seg-{uuid4().hex}"


def checked_state_dict_keys(expected: Collection[str], found: Collection[str], *, where: str) -> None:
    """Hold a state dict's keys against those of the module that it is for.

    Raises:
        CheckpointError: they differ; the sentence lists the first few missing and extra keys.
    """
    parts = []
    for kind, keys in (("lacks", set(expected) - set(found)), ("has unknown", set(found) - set(expected))):
        if keys:
            shown = sorted(keys)[:_SHOWN_KEYS]
            more = f" and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
            parts.append(f"{kind} {len(keys)} keys: {', '.join(shown)}{more}")
    if parts:
        raise CheckpointError(f"{where} does not fit: it {'; it '.join(parts)}; use a matching checkpoint")


F = TypeVar("F", ConfigFile, Manifest)


def _read(cls: type[F], path: Path) -> F:
    values = read_json(path)
    # Ahead of the fields, which another version may have changed.
    if (version := values.get("format_version")) != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version!r} but this program reads version {FORMAT_VERSION}; "
            "use the program that fits the checkpoint, or export it again"
        )
    return from_dict(cls, values, where=str(path))


def _check_kinds(path: Path, names: Collection[str]) -> None:
    """Refuse files of a kind that has no place here, such as pickles and programs."""
    if wrong := [name for name in names if PurePosixPath(name).suffix not in ALLOWED_SUFFIXES]:
        raise CheckpointError(
            f"checkpoint {path} holds `{'`, `'.join(wrong)}`, but only {', '.join(ALLOWED_SUFFIXES)} files "
            "belong in a checkpoint; take the others out"
        )


def _check_content(path: Path, names: Collection[str]) -> None:
    """Check that the required files are there and that every weight file is a safetensors file."""
    weights = [name for name in names if name.endswith(".safetensors")]
    missing = [name for name in REQUIRED_FILES if name not in names]
    missing += [f"{c}/*.safetensors" for c in COMPONENTS if not any(w.startswith(f"{c}/") for w in weights)]
    if missing:
        raise CheckpointError(
            f"{path} is no whole checkpoint: `{'`, `'.join(missing)}` is missing; export it again"
        )
    for name in weights:
        read_header(path / name)


def _check_replaceable(path: Path) -> None:
    """Refuse to replace what may be somebody's other work."""
    if not path.exists():
        return
    names = set(list_files(path)) if path.is_dir() else {path.name}
    if not names:
        return
    if path.is_dir() and MANIFEST_FILE in names:
        strangers = names - {MANIFEST_FILE} - _read(Manifest, path / MANIFEST_FILE).files.keys()
        if not strangers:
            return
        raise CheckpointError(
            f"{path} holds `{'`, `'.join(sorted(strangers))}` besides a checkpoint; move that away first"
        )
    raise CheckpointError(f"{path} is there and is no checkpoint; choose another place or move it away")

"""The two JSON files of a checkpoint: what they hold, and the fingerprints that tie them to the weights.

This module knows no other file of a checkpoint and reads none.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal, get_args

from reasoncd.base_models import BaseModelRef
from reasoncd.folders import FileRecord

Component = Literal["vision_encoder", "reasoner", "mask_decoder"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
SegSpaceOwner = Literal["reasoner", "mask_decoder"]
SEG_SPACE_OWNERS: tuple[SegSpaceOwner, ...] = get_args(SegSpaceOwner)

FORMAT_VERSION: Final = 1
"""Version of the whole checkpoint format; a reader refuses others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Where a probability becomes a decision; chosen on validation data."""

    presence: float
    """Below this presence the map is empty. In [0, 1]."""
    probability: float
    """A pixel is changed at or above it. In (0, 1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.presence <= 1:
            raise ValueError(f"presence threshold {self.presence} is outside [0, 1]")
        if not 0 < self.probability < 1:
            raise ValueError(f"probability threshold {self.probability} is outside (0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigFile:
    """The content of config.json."""

    preset: str
    format_version: int
    vision_encoder: dict[str, Any]
    reasoner: dict[str, Any]
    mask_decoder: dict[str, Any]
    thresholds: Thresholds

    def __post_init__(self) -> None:
        if not self.preset:
            raise ValueError("the preset has no name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The content of manifest.json."""

    format_version: int
    files: dict[str, FileRecord]
    fingerprints: dict[Component, str]
    seg_space: dict[SegSpaceOwner, str]
    base_models: dict[Component, BaseModelRef]

    def __post_init__(self) -> None:
        for name in self.files:
            path = PurePosixPath(name)
            inside = str(path) == name and not path.is_absolute() and ".." not in path.parts
            if not inside or not re.fullmatch(r"[\w./ -]+", name):
                raise ValueError(f"file name {name!r} does not lead to a file inside the checkpoint")
        if set(self.seg_space) != set(SEG_SPACE_OWNERS):
            raise ValueError(f"seg_space names {sorted(self.seg_space)} instead of reasoner and mask_decoder")
        for owner, space in self.seg_space.items():
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", space):
                raise ValueError(f"seg_space of {owner} is {space!r}; use an id from `mint_seg_space`")


def section(config: ConfigFile, component: Component) -> dict[str, Any]:
    """The component's part of config.json."""
    part: dict[str, Any] = getattr(config, component)
    return part


def fingerprint(
    component: Component,
    config: ConfigFile,
    files: Mapping[str, FileRecord],
    base_models: Mapping[Component, BaseModelRef],
) -> str:
    """SHA-256 in hex over a component's configuration, its files' hashes and its base model's hash.

    Equal fingerprints mean equal answers from equal inputs, up to the program's version.
    """
    base = base_models.get(component)
    account = {
        "config": section(config, component),
        "files": {name: record.sha256 for name, record in files.items() if name.startswith(f"{component}/")},
        "base_model": base.sha256 if base else None,
    }
    canonical = json.dumps(account, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

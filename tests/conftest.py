"""What several folders of tests share: a checkpoint of the paper's code path, made by the real commands."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from reasoncd.checkpoint import COMPONENTS, Checkpoint, Thresholds, write_checkpoint
from reasoncd.manifest import SegSpaceOwner
from services.reasoner.weights import PROJECTIONS_FILE

Rewrite = Callable[..., Path]


@pytest.fixture(scope="session")
def paper_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint: every stage of `paper_tiny` trained for a few steps, then exported. Not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    checkpoint = shared / "paper_tiny" / "checkpoint"
    # Parallel test processes share one training.
    with (shared / "paper_tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not checkpoint.exists():
            work = checkpoint.parent / "work"
            work.mkdir(parents=True, exist_ok=True)
            (work / "card.md").write_text("# paper_tiny\n\nTrained for a few steps by the tests.\n")
            _train("run", "all", "--folder", str(work))
            _train("export", str(checkpoint), "--model-card", str(work / "card.md"), "--folder", str(work))
    return checkpoint


def _train(*arguments: str) -> None:
    import torch

    from training.cli import app

    with _environment_restored():
        threads = torch.get_num_threads()
        result = CliRunner().invoke(app, [*arguments, "--preset", "paper-tiny"], catch_exceptions=False)
        torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo what training puts into the environment: a child process must not join its process group."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def rewrite() -> Rewrite:
    """Writes a valid checkpoint with the weights of another and other thresholds or prompt spaces, or with a
    reasoner that projects images, or its `<SEG>` embeddings, larger or smaller."""

    def rewritten(
        source: Path,
        path: Path,
        *,
        thresholds: Thresholds | None = None,
        seg_space: Mapping[SegSpaceOwner, str] | None = None,
        reasoner_scale: float = 1.0,
        embedding_scale: float = 1.0,
    ) -> Path:
        old = Checkpoint.open(source)

        def copy(folder: Path) -> None:
            for component in COMPONENTS:
                shutil.copytree(source / component, folder / component, dirs_exist_ok=True)
            shutil.copy(source / "README.md", folder)
            if (reasoner_scale, embedding_scale) != (1.0, 1.0):
                file = folder / "reasoner" / PROJECTIONS_FILE
                from safetensors.torch import load_file, save_file

                weights = load_file(file)
                weights["clip_projection.weight"] *= reasoner_scale
                for name in ("seg_mlp.2.weight", "seg_mlp.2.bias"):
                    weights[name] *= embedding_scale
                save_file(weights, file)

        write_checkpoint(
            path,
            preset=old.preset,
            configs={component: old.config(component) for component in COMPONENTS},
            thresholds=thresholds
            or Thresholds(presence=old.presence_threshold, probability=old.probability_threshold),
            seg_space=seg_space or {"reasoner": old.seg_space, "mask_decoder": old.seg_space},
            base_models=old.base_models,
            writer=copy,
        )
        return path

    return rewritten


@pytest.fixture(scope="session")
def marking_checkpoint(paper_tiny: Path, rewrite: Rewrite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`paper_tiny` with a presence threshold of 0: barely trained, it is unsure and maps would be empty."""
    path = tmp_path_factory.mktemp("marking") / "checkpoint"
    return rewrite(paper_tiny, path, thresholds=Thresholds(presence=0.0, probability=0.5))


@pytest.fixture(scope="session")
def place() -> NDArray[np.uint8]:
    """Two drawn images of one place, uint8 (2, 128, 128, 3)."""
    from training.data.sample import sample_pair

    pair = sample_pair(size=128)
    return np.stack([pair.image_t1, pair.image_t2])

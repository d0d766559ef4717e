"""The three engines in this process, behind the same pipeline as remote services.

The one place in the gateway that reaches torch, and only when a function here is called: importing this
module is as cheap as importing the rest.
"""

import os
from collections.abc import Callable
from pathlib import Path

from gateway.pipeline import Pipeline
from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ports import MaskDecoder, Reasoner, VisionEncoder

CHECKPOINT_VARIABLE = "REASONCD_CHECKPOINT"
BASE_MODEL = "smollm2-135m-instruct"
"""The language model that the `mini` preset starts from."""


def default_checkpoint() -> Path:
    """`REASONCD_CHECKPOINT` if it is set, else `checkpoints/mini` of this source tree."""
    named = os.environ.get(CHECKPOINT_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[1] / "checkpoints" / "mini"


def build_pipeline(
    checkpoint: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Pipeline:
    """Load the engines of a checkpoint and put the pipeline on top of them.

    Args:
        checkpoint: its folder; see `default_checkpoint` if not given.
        device: a torch device, `cpu` or `cuda:0`.
        threads: of torch on the CPU, for the whole process; left as it is if not given.
        progress: told in a few words what is being done.

    Raises:
        NotFoundError: the checkpoint, or the base model that it starts from, is not there.
        CheckpointError: the checkpoint is incomplete, altered or does not fit together.
        InvalidInputError: `threads` is not positive.
    """
    return Pipeline(*load_engines(checkpoint, device=device, threads=threads, progress=progress))


def load_engines(
    checkpoint: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[VisionEncoder, Reasoner, MaskDecoder]:
    """The three engines alone, in the pipeline's order; arguments and errors as `build_pipeline`."""
    if threads is not None and threads < 1:
        raise InvalidInputError(f"threads is {threads}; give at least 1")
    folder = checkpoint or default_checkpoint()
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no checkpoint at {folder}; name one with --checkpoint or in {CHECKPOINT_VARIABLE}"
        )
    tell = progress or (lambda words: None)
    tell("checking the checkpoint")
    opened = Checkpoint.open(folder)

    tell("loading torch")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    from services.mask_decoder.engine import MaskDecoderEngine
    from services.reasoner.engine import ReasonerEngine
    from services.vision_encoder.engine import VisionEncoderEngine

    tell("loading the vision encoder")
    vision = VisionEncoderEngine.from_checkpoint(opened, device=device)
    tell("loading the mask decoder")
    decoder = MaskDecoderEngine.from_checkpoint(opened, device=device)
    tell("loading the reasoner")
    reasoner = ReasonerEngine.from_checkpoint(opened, device=device)
    return vision, reasoner, decoder


def fetch_base(progress: Callable[[str], None] | None = None) -> Path:
    """Download and convert the base language model of `mini`, unless it is there already.

    Returns:
        Its folder in the cache.

    Raises:
        NotFoundError, CorruptDataError, OutputError: as `services.reasoner.base_model.fetch_base`.
    """
    from services.reasoner import base_model

    return base_model.fetch_base(BASE_MODEL, progress=progress)

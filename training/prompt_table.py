"""The prompt table on disk: what a prompt space is, kept by working folders and by checkpoints.

One row for each target of the ontology. A mask decoder is trained with these prompts, a reasoner to hit
them; the identifier beside the table says which decoders and reasoners fit each other.
"""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from reasoncd.checkpoint import Checkpoint
from reasoncd.config import read_json, write_json
from reasoncd.errors import CheckpointError, NotFoundError
from reasoncd.ontology import TARGETS
from services.mask_decoder.weights import PROMPT_TABLE
from training.run.saves import write_weights

TABLE_FILE = f"{PROMPT_TABLE}.safetensors"
SPACE_FILE = "seg_space.json"


def save_prompt_table(table: Tensor, folder: Path) -> None:
    """Write a table (targets, D) into a folder, float32."""
    write_weights({"table": table.float()}, folder / TABLE_FILE)


def keep_table(folder: Path, table: Tensor, seg_space: str) -> None:
    """Write a settled table and the identifier of its prompt space into a working folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # The table last: where it is, all is.
    write_json(folder / SPACE_FILE, {"seg_space": seg_space})
    save_prompt_table(table, folder)


def kept_table(folder: Path) -> Tensor:
    """The settled table (targets, D) of a working folder.

    Raises:
        NotFoundError: none was settled there yet.
    """
    path = folder / TABLE_FILE
    if not path.exists():
        raise NotFoundError(f"{path} is not there yet; `reasoncd-train run vision` writes it on the way")
    return load_file(path)["table"]


def kept_space(folder: Path) -> str:
    """The identifier beside `kept_table`."""
    return str(read_json(folder / SPACE_FILE)["seg_space"])


def table_of(checkpoint: Checkpoint) -> Tensor:
    """The prompts of all targets (targets, D) that a checkpoint's mask decoder was trained with.

    Raises:
        CheckpointError: the checkpoint does not keep them, or keeps those of another ontology.
    """
    table = load_file(checkpoint.file("mask_decoder", TABLE_FILE))["table"]
    if table.shape[0] != len(TARGETS):
        raise CheckpointError(
            f"checkpoint {checkpoint.path} has prompts of {table.shape[0]} targets but the ontology "
            f"{len(TARGETS)}; use the version that trained it"
        )
    return table

"""The models of the sample stage before training: official weights brought in once, or drawn at random.

```
start.safetensors   clip.*, encoder.*, decoder.* as training begins; later calls need no official files
base_model.json     which language model lies in the cache
seg_space.json      the prompt space of what is trained here
```
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.base_models import BaseModelRef, base_model_dir
from reasoncd.checkpoint import mint_seg_space
from reasoncd.config import from_dict, read_json, to_dict, write_json
from reasoncd.errors import NotFoundError
from services.mask_decoder.model import ChangeMaskDecoder
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.importers import import_clip, import_resnet34, import_sam, install_llama2
from training.prompt_table import SPACE_FILE
from training.reasoner_start import DTYPES, start_reasoner
from training.recipes import Recipe, SampleTraining
from training.run.processes import is_first, wait_for_all
from training.run.saves import write_weights
from training.stages.samples import SampleStage
from training.stages.stage import set_precision

START_FILE = "start.safetensors"
BASE_MODEL_FILE = "base_model.json"
_PARTS = ("clip", "encoder", "decoder")


@dataclass(frozen=True, kw_only=True, slots=True)
class OfficialFiles:
    """Where the official weights lie; None where they were brought in by an earlier call."""

    sam: Path | None = None
    """`sam_vit_*.pth` of segment-anything."""
    clip: Path | None = None
    """CLIP's vision tower, of OpenAI or open_clip."""
    resnet34: Path | None = None
    """`resnet34-*.pth` of torchvision, or timm's."""
    llama2: Path | None = None
    """Folder of LLaMA2 as the Hugging Face hub has it."""


def check_official(recipe: Recipe, training: SampleTraining, folder: Path, official: OfficialFiles) -> None:
    """Refuse to begin without the official files, before anything else is looked at.

    Raises:
        NotFoundError: a recipe that starts from official weights lacks some, named by their options.
    """
    if not training.official_weights:
        return
    wanted: list[tuple[str, Path | None]] = []
    if not (folder / START_FILE).exists():
        wanted += [("--sam", official.sam), ("--clip", official.clip)]
        if recipe.vision.fusion.multi_scale:
            wanted.append(("--resnet", official.resnet34))
    if recipe.reasoner.base_model is not None and not (folder / BASE_MODEL_FILE).exists():
        wanted.append(("--llama", official.llama2))
    if lacking := [option for option, path in wanted if path is None]:
        raise NotFoundError(
            f"recipe {recipe.name} starts from official weights; name them with {', '.join(lacking)}"
        )
    if gone := [path for _, path in wanted if path is not None and not path.exists()]:
        raise NotFoundError(f"{gone[0]} is not there; check the path")


def build_stage(
    recipe: Recipe,
    training: SampleTraining,
    folder: Path,
    official: OfficialFiles,
    *,
    say: Callable[[str], None],
) -> SampleStage:
    """The stage as training begins.

    Args:
        recipe: sizes and losses.
        training: whether to start from official weights, and what learns.
        folder: the stage's; keeps what was brought in.
        official: needed on the first call where the recipe starts from official weights.
        say: is told what is done.

    Raises:
        NotFoundError: an official file is missing.
        CheckpointError, CorruptDataError: one does not fit the recipe's sizes, or is damaged.
    """
    check_official(recipe, training, folder, official)
    torch.manual_seed(training.seed)
    clip = ClipPatchEncoder(recipe.vision.clip).eval()
    encoder, decoder = ChangeFeatureEncoder(recipe.vision), ChangeMaskDecoder(recipe.decoder)
    parts: dict[str, nn.Module] = {"clip": clip, "encoder": encoder, "decoder": decoder}
    start = folder / START_FILE
    if training.official_weights and not start.exists() and is_first():
        _bring_in(clip, encoder, decoder, official, say=say)
        say(f"keeping the official weights in {start}")
        state = {f"{part}.{n}": t for part, module in parts.items() for n, t in module.state_dict().items()}
        write_weights(state, start)
    wait_for_all()
    if training.official_weights:
        _load_start(parts, load_file(start))
    base = _base_model(recipe, training, folder, official, say=say)
    reasoner = start_reasoner(
        recipe.reasoner, seed=training.seed, dtype=DTYPES[training.precision], say=say, base=base
    )
    stage = SampleStage(
        clip,
        encoder,
        decoder,
        reasoner,
        recipe.losses,
        presence=training.presence,
        quality=training.quality,
        checkpoint_activations=training.checkpoint_activations,
    )
    set_precision(stage, training.precision)
    return stage


def prompt_space(folder: Path) -> str:
    """The identifier of the prompt space that is trained in a folder; minted once."""
    path = folder / SPACE_FILE
    if not path.exists() and is_first():
        write_json(path, {"seg_space": mint_seg_space()})
    wait_for_all()
    return str(read_json(path)["seg_space"])


def base_model_ref(folder: Path) -> BaseModelRef | None:
    """The installed language model that training began from; None where it is downloadable or drawn."""
    path = folder / BASE_MODEL_FILE
    return from_dict(BaseModelRef, read_json(path), where=str(path)) if path.exists() else None


def _bring_in(
    clip: ClipPatchEncoder,
    encoder: ChangeFeatureEncoder,
    decoder: ChangeMaskDecoder,
    official: OfficialFiles,
    *,
    say: Callable[[str], None],
) -> None:
    assert official.sam is not None  # `check_official` went before
    assert official.clip is not None
    say(f"reading {official.sam}, {official.clip}" + (f", {official.resnet34}" if official.resnet34 else ""))
    import_sam(official.sam, encoder.sam, decoder)
    import_clip(official.clip, clip)
    if encoder.fpn is not None and official.resnet34 is not None:
        import_resnet34(official.resnet34, encoder.fpn)


def _base_model(
    recipe: Recipe,
    training: SampleTraining,
    folder: Path,
    official: OfficialFiles,
    *,
    say: Callable[[str], None],
) -> Path | None:
    """The folder of an installed language model; None where it is downloaded or drawn."""
    name = recipe.reasoner.base_model
    if name is None or not training.official_weights:
        return None
    ref = base_model_ref(folder)
    if ref is None:
        if is_first():
            assert official.llama2 is not None  # `check_official` went before
            say(f"converting {official.llama2}")
            ref = install_llama2(official.llama2, recipe.reasoner.llm, name=name)
            write_json(folder / BASE_MODEL_FILE, to_dict(ref))
        wait_for_all()
        ref = base_model_ref(folder)
    assert ref is not None
    return base_model_dir(ref.name, sha256=ref.sha256)


def _load_start(parts: dict[str, nn.Module], state: dict[str, Tensor]) -> None:
    for part, module in parts.items():
        own = {n.removeprefix(f"{part}."): t for n, t in state.items() if n.startswith(f"{part}.")}
        module.load_state_dict(own)

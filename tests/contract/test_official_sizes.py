"""The paper's presets at their real size, without memory for weights: counts and keys of official files."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
import torchvision
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from segment_anything import sam_model_registry
from torch import nn

from services.mask_decoder import config as decoder_config
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner import config as reasoner_config
from services.reasoner.build import build_llm
from services.vision_encoder import config as encoder_config
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.fpn import BackboneFpn
from services.vision_encoder.sam import SamImageEncoder

pytestmark = pytest.mark.contract


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _shapes(module: nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {prefix + key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("size", "parameters", "keys"),
    [("vit_b", 93_735_472, 314), ("vit_l", 312_342_832, 482), ("vit_h", 641_090_608, 594)],
)
def test_sam(size: encoder_config.SamSize, parameters: int, keys: int) -> None:
    config = encoder_config.paper(size)
    with torch.device("meta"):
        encoder = SamImageEncoder(config.sam, config.image_size)
        decoder = ChangeMaskDecoder(decoder_config.paper())
        official = sam_model_registry[size]()
    ours = (
        _shapes(encoder.encoder, "image_encoder.")
        | _shapes(decoder.prompt_encoder, "prompt_encoder.")
        | _shapes(decoder.mask_decoder, "mask_decoder.")
    )
    assert ours == _shapes(official)
    assert len(ours) == keys
    assert _count(encoder) + _count(decoder.prompt_encoder) + _count(decoder.mask_decoder) == parameters
    assert _count(decoder.mask_decoder) == 4_058_340
    assert _count(decoder.prompt_encoder) == 6_220


def test_clip() -> None:
    file = Path(open_clip.__file__).parent / "model_configs" / "ViT-L-14-quickgelu.json"
    official_config = json.loads(file.read_text())
    with torch.device("meta"):
        clip = ClipPatchEncoder(encoder_config.paper().clip)
        official = CLIP(
            official_config["embed_dim"],
            CLIPVisionCfg(**official_config["vision_cfg"]),
            CLIPTextCfg(**official_config["text_cfg"]),
            quick_gelu=official_config["quick_gelu"],
        )
    assert _count(official) == 427_616_513
    assert len(official.state_dict()) == 446
    assert _count(clip) == 303_966_208
    assert _shapes(clip) == _shapes(official.visual, "visual.")
    assert encoder_config.paper().clip.token_count == 256
    assert encoder_config.paper().clip.width == 1024


def test_resnet34() -> None:
    with torch.device("meta"):
        backbone = BackboneFpn(encoder_config.paper().fpn).backbone
        official = torchvision.models.resnet34()
    del official.fc
    assert _count(backbone) == 21_284_672
    assert _shapes(backbone) == _shapes(official)


def test_llama2() -> None:
    with torch.device("meta"):
        llm = build_llm(reasoner_config.paper().llm)
    assert _count(llm) == 6_738_415_616
    assert len(llm.state_dict()) == 291
    assert "lm_head.weight" in llm.state_dict()
    assert llm.get_input_embeddings().weight is not llm.get_output_embeddings().weight


@pytest.mark.parametrize("preset", ["paper", "paper_tiny", "mini"])
def test_the_three_services_fit_each_other(preset: str) -> None:
    vision = getattr(encoder_config, preset)()
    decoder = getattr(decoder_config, preset)()
    reasoner = getattr(reasoner_config, preset)()
    assert decoder.embed_dim == vision.out_channels == reasoner.seg_dim
    assert (decoder.image_size, decoder.grid_size) == (vision.image_size, vision.grid_size)
    assert (reasoner.clip_width, reasoner.image_tokens) == (vision.clip.width, vision.clip.token_count)

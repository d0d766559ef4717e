"""CLIP's tokens against an independent computation on open_clip's own CLIP."""

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor
from torch.nn import functional as F

from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import CLIP_MEAN, CLIP_STD, ClipConfig

pytestmark = pytest.mark.unit

CONFIG = ClipConfig(
    image_size=32, patch_size=8, width=32, layers=4, head_width=16, embed_dim=24, quick_gelu=True
)


@pytest.fixture(scope="module")
def upstream() -> CLIP:
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=4, width=32, head_width=16, patch_size=8, image_size=32)
    text = CLIPTextCfg(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
    return CLIP(24, vision, text, quick_gelu=True).eval()


@pytest.fixture(scope="module")
def encoder(upstream: CLIP) -> ClipPatchEncoder:
    encoder = ClipPatchEncoder(CONFIG).eval()
    encoder.visual.load_state_dict(upstream.visual.state_dict())
    return encoder


def _pictures() -> Tensor:
    return torch.randint(
        0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )


def test_tokens_are_the_penultimate_blocks_without_the_class_token(
    upstream: CLIP, encoder: ClipPatchEncoder
) -> None:
    mean, std = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)
    seen: list[Tensor] = []
    hook = upstream.visual.transformer.resblocks[-2].register_forward_hook(
        lambda module, args, output: seen.append(output)
    )
    with torch.no_grad():
        upstream.encode_image((_pictures() / 255 - mean) / std)
        tokens = encoder(_pictures())
    hook.remove()
    assert tokens.shape == (2, 16, 32)
    torch.testing.assert_close(tokens, seen[0][:, 1:], rtol=0, atol=1e-5)


def test_last_block_has_no_part_in_the_tokens(encoder: ClipPatchEncoder) -> None:
    with torch.no_grad():
        before = encoder(_pictures())
        last = encoder.visual.get_submodule("transformer.resblocks.3.mlp.c_proj").get_parameter("weight")
        kept = last.clone()
        last.add_(1.0)
        after = encoder(_pictures())
        last.copy_(kept)
    assert torch.equal(before, after)


def test_quick_gelu_is_not_gelu() -> None:
    torch.manual_seed(0)
    quick = ClipPatchEncoder(CONFIG).eval()
    plain = ClipPatchEncoder(
        ClipConfig(image_size=32, patch_size=8, width=32, layers=4, head_width=16, embed_dim=24)
    ).eval()
    plain.load_state_dict(quick.state_dict())
    with torch.no_grad():
        assert not torch.allclose(quick(_pictures()), plain(_pictures()), atol=1e-4)


def test_other_sizes_are_resized_as_a_whole(encoder: ClipPatchEncoder) -> None:
    wide = torch.randint(
        0, 256, (1, 3, 40, 100), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
    )
    resized = F.interpolate(wide.float(), (32, 32), mode="bicubic", antialias=True).clamp(0, 255)
    with torch.no_grad():
        torch.testing.assert_close(encoder(wide), encoder(resized))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"patch_size": 7}, "patch_size"), ({"layers": 1}, "layers"), ({"head_width": 24}, "head_width")],
)
def test_impossible_sizes_are_refused(change: dict[str, int], named: str) -> None:
    sizes = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 4, "head_width": 16, "embed_dim": 24}
    with pytest.raises(ValueError, match=named):
        ClipConfig(**(sizes | change))  # type: ignore[arg-type]

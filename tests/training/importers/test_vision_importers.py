"""Files as segment-anything, open_clip, torchvision and timm write them, small and random."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from reasoncd.errors import CheckpointError
from services.mask_decoder import config as decoder_config
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import mini, paper_tiny
from services.vision_encoder.fpn import BackboneFpn
from services.vision_encoder.sam import SamImageEncoder
from training.importers import import_clip, import_resnet34, import_sam

pytestmark = pytest.mark.contract

State = dict[str, Tensor]


def _fresh_sam() -> tuple[SamImageEncoder, ChangeMaskDecoder]:
    torch.manual_seed(9)
    config = paper_tiny()
    return SamImageEncoder(config.sam, config.image_size).eval(), ChangeMaskDecoder(
        decoder_config.paper_tiny()
    ).eval()


@pytest.fixture(scope="module")
def sam() -> Sam:
    """A whole SAM of `paper_tiny`'s sizes, by upstream's classes alone."""
    torch.manual_seed(0)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=128,
            patch_size=16,
            embed_dim=32,
            depth=2,
            num_heads=2,
            out_chans=32,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=4,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(32, (8, 8), (128, 128), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=32,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, num_heads=4, mlp_dim=64),
        ),
    ).eval()


@pytest.fixture(scope="module")
def clip() -> CLIP:
    torch.manual_seed(0)
    c = paper_tiny().clip
    vision = CLIPVisionCfg(layers=c.layers, width=c.width, head_width=16, patch_size=4, image_size=64)
    text = CLIPTextCfg(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
    return CLIP(c.embed_dim, vision, text, quick_gelu=True).eval()


def test_sam_computes_what_upstream_computes(tmp_path: Path, sam: Sam) -> None:
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    encoder, decoder = _fresh_sam()
    head = {k: v.clone() for k, v in decoder.presence_head.state_dict().items()}
    import_sam(tmp_path / "sam.pth", encoder, decoder)
    images, seg = torch.rand(1, 3, 128, 128) * 255, torch.randn(1, 32)
    with torch.no_grad():
        embedding = sam.image_encoder(sam.preprocess(images))
        torch.testing.assert_close(encoder(images), embedding, rtol=1e-4, atol=1e-4)
        masks, quality = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=seg[:, None],
            dense_prompt_embeddings=sam.prompt_encoder(None, None, None)[1],
            multimask_output=False,
        )
        out = decoder(encoder(images), Prompts(seg=seg), torch.tensor([0]))
    torch.testing.assert_close(out.mask_logits, masks[:, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(out.quality, quality[:, 0], rtol=0, atol=1e-4)
    assert all(torch.equal(v, head[k]) for k, v in decoder.presence_head.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("mask_decoder.iou_token.weight"), "lacks 1 keys: mask_decoder.iou_token.weight"),
        (lambda s: s.update(more=torch.ones(1)), "unknown 1 keys: more"),
        (
            lambda s: s.update({"image_encoder.pos_embed": torch.ones(1, 4, 4, 32)}),
            r"image_encoder.pos_embed has shape \(1, 4, 4, 32\) instead of \(1, 8, 8, 32\)",
        ),
    ],
)
def test_sam_files_that_do_not_fit(
    tmp_path: Path, sam: Sam, change: Callable[[State], object], said: str
) -> None:
    state = dict(sam.state_dict())
    change(state)
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match=said):
        import_sam(tmp_path / "sam.pth", *_fresh_sam())


def _as_open_clip(clip: CLIP, path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in clip.state_dict().items()}, "epoch": 1}, path)


def _as_safetensors(clip: CLIP, path: Path) -> None:
    save_file({k: v.clone() for k, v in clip.state_dict().items()}, path)


def _as_openai(clip: CLIP, path: Path) -> None:
    numbers = {"input_resolution": 64, "context_length": 8, "vocab_size": 50}
    state = {k: v.half() for k, v in clip.state_dict().items()}
    torch.save({**state, **{k: torch.tensor(v) for k, v in numbers.items()}}, path)


@pytest.mark.parametrize(
    ("write", "name", "tolerance"),
    [
        (_as_open_clip, "clip.pt", 0.0),
        (_as_safetensors, "clip.safetensors", 0.0),
        (_as_openai, "openai.pt", 1e-3),
    ],
)
def test_clip(
    tmp_path: Path, clip: CLIP, write: Callable[[CLIP, Path], None], name: str, tolerance: float
) -> None:
    write(clip, tmp_path / name)
    encoder = ClipPatchEncoder(paper_tiny().clip)
    import_clip(tmp_path / name, encoder)
    for key, value in clip.visual.state_dict().items():
        got = encoder.visual.state_dict()[key]
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("visual.proj"), "lacks 1 keys: visual.proj"),
        (lambda s: s.update({"visual.attnpool.q": torch.ones(1)}), "unknown 1 keys: visual.attnpool.q"),
        (lambda s: s.update({"decoder.weight": torch.ones(1)}), "unknown 1 keys: decoder.weight"),
        (lambda s: s.update({"visual.proj": torch.ones(32, 8)}), r"visual.proj has shape \(32, 8\)"),
    ],
)
def test_clip_files_that_do_not_fit(
    tmp_path: Path, clip: CLIP, change: Callable[[State], object], said: str
) -> None:
    state = dict(clip.state_dict())
    change(state)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=said):
        import_clip(tmp_path / "clip.pt", ClipPatchEncoder(paper_tiny().clip))


def _torchvision(path: Path) -> nn.Module:
    model = torchvision.models.resnet34()
    # As the published file, which is older than the batch counters.
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return model


def _timm(path: Path) -> nn.Module:
    model = timm.create_model("resnet34", pretrained=False)
    save_file(model.state_dict(), path)
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize(("write", "name"), [(_torchvision, "resnet34.pth"), (_timm, "resnet34.safetensors")])
def test_resnet34(tmp_path: Path, write: Callable[[Path], nn.Module], name: str) -> None:
    torch.manual_seed(0)
    official = write(tmp_path / name).state_dict()
    torch.manual_seed(1)
    fpn = BackboneFpn(paper_tiny().fpn)
    pyramid = {k: v.clone() for k, v in fpn.pyramid.state_dict().items()}
    import_resnet34(tmp_path / name, fpn)
    got = fpn.backbone.state_dict()
    assert got.keys() == official.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(got[k], official[k]) for k in got)
    assert all(torch.equal(v, pyramid[k]) for k, v in fpn.pyramid.state_dict().items())


def test_resnet_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    with pytest.raises(CheckpointError, match=r"lacks .* keys: layer1\.2"):
        import_resnet34(path, BackboneFpn(paper_tiny().fpn))
    with pytest.raises(CheckpointError, match="backbone is tf_efficientnet_lite0"):
        import_resnet34(path, BackboneFpn(mini().fpn))


def test_files_of_another_kind_are_refused(tmp_path: Path, sam: Sam, clip: CLIP) -> None:
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=r"sam\.pth does not fit"):
        import_clip(tmp_path / "sam.pth", ClipPatchEncoder(paper_tiny().clip))
    with pytest.raises(CheckpointError, match=r"clip\.pt does not fit"):
        import_sam(tmp_path / "clip.pt", *_fresh_sam())
    with pytest.raises(CheckpointError, match=r"clip\.pt does not fit"):
        import_resnet34(tmp_path / "clip.pt", BackboneFpn(paper_tiny().fpn))

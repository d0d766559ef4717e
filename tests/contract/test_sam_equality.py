"""Our mask decoder against segment-anything's own, image by image, with the same weights."""

import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import nn

from services.mask_decoder.config import MaskDecoderConfig, paper_tiny
from services.mask_decoder.model import ChangeMaskDecoder, Prompts

pytestmark = pytest.mark.contract

CONFIG = paper_tiny()


class Upstream(nn.Module):
    """segment-anything's two modules, built by its own classes alone."""

    def __init__(self, config: MaskDecoderConfig) -> None:
        super().__init__()
        self.prompt_encoder = PromptEncoder(
            embed_dim=config.embed_dim,
            image_embedding_size=(config.grid_size, config.grid_size),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_in_channels,
        )
        self.mask_decoder = MaskDecoder(
            num_multimask_outputs=config.num_multimask_outputs,
            transformer=TwoWayTransformer(
                depth=config.depth,
                embedding_dim=config.embed_dim,
                mlp_dim=config.mlp_dim,
                num_heads=config.num_heads,
            ),
            transformer_dim=config.embed_dim,
            iou_head_depth=config.iou_head_depth,
            iou_head_hidden_dim=config.iou_head_hidden_dim,
        )


@pytest.fixture(scope="module")
def both() -> tuple[ChangeMaskDecoder, Upstream]:
    torch.manual_seed(0)
    ours, theirs = ChangeMaskDecoder(CONFIG).eval(), Upstream(CONFIG).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            # Norms and biases at one and zero would hide a missing term.
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert {key.split(".")[0] for key in missing} == {"presence_head"}
    assert not unexpected
    return ours, theirs


def test_state_dict_keys_and_shapes_are_upstreams(both: tuple[ChangeMaskDecoder, Upstream]) -> None:
    ours, theirs = ({k: v.shape for k, v in m.state_dict().items()} for m in both)
    assert {k: v for k, v in ours.items() if not k.startswith("presence_head.")} == theirs


@pytest.mark.parametrize("corrected", [False, True])
def test_masks_and_quality_are_upstreams_per_image(
    both: tuple[ChangeMaskDecoder, Upstream], corrected: bool
) -> None:
    ours, theirs = both
    torch.manual_seed(1)
    fused = torch.randn(3, 32, 8, 8)
    pair_index = torch.tensor([2, 0, 1, 0])
    seg = torch.randn(4, 32)
    prompts = Prompts(seg=seg)
    if corrected:
        corners = torch.rand(4, 2, 2) * 128
        prompts = Prompts(
            seg=seg,
            points=torch.rand(4, 3, 2) * 128,
            point_labels=torch.tensor([[1, 0, 1], [0, 0, 1], [1, -1, -1], [1, 1, 1]]),
            boxes=torch.cat([corners.amin(1), corners.amax(1)], 1),
            previous_logits=torch.randn(4, 32, 32) * 4,
        )
    with torch.no_grad():
        out = ours(fused, prompts, pair_index)
        for row, image in enumerate(pair_index.tolist()):
            one = slice(row, row + 1)
            sparse, dense = theirs.prompt_encoder(
                points=(prompts.points[one], prompts.point_labels[one])
                if prompts.points is not None and prompts.point_labels is not None
                else None,
                boxes=None if prompts.boxes is None else prompts.boxes[one],
                masks=None if prompts.previous_logits is None else prompts.previous_logits[one, None],
            )
            masks, quality = theirs.mask_decoder(
                image_embeddings=fused[image : image + 1],
                image_pe=theirs.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=torch.cat([seg[one, None], sparse], 1),
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            torch.testing.assert_close(out.mask_logits[row], masks[0, 0], rtol=0, atol=1e-4)
            torch.testing.assert_close(out.quality[row], quality[0, 0], rtol=0, atol=1e-4)
    assert float(out.mask_logits.std()) > 1e-3

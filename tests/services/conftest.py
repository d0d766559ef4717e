"""A whole checkpoint around a tiny vision encoder and mask decoder, and modules with nothing left at zero."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from reasoncd.checkpoint import Checkpoint, Thresholds, write_checkpoint
from reasoncd.config import to_dict
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from services.mask_decoder import config as decoder_config
from services.mask_decoder import weights as decoder_weights
from services.mask_decoder.model import ChangeMaskDecoder
from services.vision_encoder import config as encoder_config
from services.vision_encoder import weights as encoder_weights
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder

Shake = Callable[[nn.Module], nn.Module]
Serving = Callable[[Callable[..., None], Any], AbstractAsyncContextManager[grpc.aio.Channel]]


@pytest.fixture(scope="session")
def shake() -> Shake:
    """Gives every parameter and batch statistic a seeded value, so that no term hides behind zero or one."""

    def shaken(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 2.0, generator=generator)
                elif name.endswith("running_mean"):
                    tensor.normal_(0.0, 0.3, generator=generator)
                elif name.rpartition(".")[2] in ("mean", "std") or not tensor.is_floating_point():
                    continue
                elif tensor.ndim < 2:
                    tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.1)
                elif float(tensor.abs().max()) == 0.0:
                    tensor.normal_(0.0, 0.1, generator=generator)
        return module

    return shaken


@pytest.fixture(scope="session")
def tiny_clip(shake: Shake) -> ClipPatchEncoder:
    torch.manual_seed(1)
    clip = ClipPatchEncoder(encoder_config.paper_tiny().clip).eval()
    shake(clip)
    return clip


@pytest.fixture(scope="session")
def tiny_features(shake: Shake) -> ChangeFeatureEncoder:
    torch.manual_seed(2)
    encoder = ChangeFeatureEncoder(encoder_config.paper_tiny()).eval()
    shake(encoder)
    return encoder


@pytest.fixture(scope="session")
def tiny_decoder(shake: Shake) -> ChangeMaskDecoder:
    torch.manual_seed(3)
    decoder = ChangeMaskDecoder(decoder_config.paper_tiny()).eval()
    shake(decoder)
    return decoder


@pytest.fixture(scope="session")
def tiny_checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_clip: ClipPatchEncoder,
    tiny_features: ChangeFeatureEncoder,
    tiny_decoder: ChangeMaskDecoder,
) -> Checkpoint:
    """Real vision encoder and mask decoder; the reasoner's files are there and empty of meaning."""

    def write(folder: Path) -> None:
        encoder_weights.save(folder / "vision_encoder", tiny_clip, tiny_features)
        decoder_weights.save(folder / "mask_decoder", tiny_decoder)
        (folder / "README.md").write_text("# A checkpoint for tests\n")
        (folder / "reasoner" / "adapter_config.json").write_text(json.dumps({}))
        save_file({"x": torch.zeros(1)}, folder / "reasoner" / "adapter_model.safetensors")

    return write_checkpoint(
        tmp_path_factory.mktemp("checkpoint") / "tiny",
        preset="paper_tiny",
        configs={
            "vision_encoder": to_dict(encoder_config.paper_tiny()),
            "mask_decoder": to_dict(decoder_config.paper_tiny()),
            "reasoner": {},
        },
        thresholds=Thresholds(presence=0.25, probability=0.4),
        seg_space={"reasoner": "seg-a", "mask_decoder": "seg-a"},
        base_models={},
        writer=write,
    )


@pytest.fixture(scope="session")
def image_pair() -> NDArray[np.uint8]:
    """uint8 (2, 128, 128, 3), the side that `paper_tiny` takes."""
    return np.random.default_rng(4).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)


@pytest.fixture
def serving() -> Serving:
    """Puts a servicer on a bare grpc.aio server; gives a channel to it, and closes all three at the end."""

    @asynccontextmanager
    async def start(add: Callable[..., None], servicer: Any) -> AsyncIterator[grpc.aio.Channel]:
        server = grpc.aio.server(options=MESSAGE_OPTIONS)
        add(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
                yield channel
        finally:
            await server.stop(None)
            servicer.close()

    return start

"""Sentence embeddings of phrases: to find near-duplicates, and as a control that does not reason.

All-MiniLM-L6-v2, downloaded once as a wheel like the other base models: mean of the last states of a
six-layer BERT, scaled to unit length, so that a dot product is a cosine. No part of what is served.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from reasoncd.base_models import Progress, cached_base_model, downloaded, install_base, known_base_model
from reasoncd.config import read_json

NAME = "all-minilm-l6-v2"
MAX_TOKENS = 128
_BATCH = 64


def fetch_embedder(*, progress: Progress | None = None) -> Path:
    """Make sure that the embedding model lies in the cache, whole; only the first call downloads.

    Returns:
        Its folder.

    Raises:
        NotFoundError, CorruptDataError, OutputError: as `reasoncd.base_models.downloaded`.
    """
    model = known_base_model(NAME)
    if folder := cached_base_model(model):
        return folder
    with downloaded(model, progress=progress) as source:
        names = [source.name, *(Path(member).name for member, _ in model.companions)]

        def build(new: Path) -> None:
            for name in names:
                shutil.copyfile(source.with_name(name), new / name)

        return install_base(model.ref, build)


class SentenceEmbedder:
    """Texts to unit vectors.

    Args:
        folder: as `fetch_embedder` returns it; its name is that of the model.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        config = BertConfig(**read_json(folder / "config.json"))
        self._model = BertModel(config, add_pooling_layer=False)
        state = load_file(folder / "model.safetensors")
        # The pooling layer is not read, and the positions are a constant that old files carry along.
        known = self._model.state_dict().keys()
        self._model.load_state_dict({name: tensor for name, tensor in state.items() if name in known})
        self._model.train(False)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: n of them, in plain words; what is longer than 128 tokens is cut.

        Returns:
            float32 (n, 384), rows of unit length.
        """
        out = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        tokens = [encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))]
        # Texts of as many tokens together: padding is a quarter of the work otherwise.
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens[i]) for i in rows], batch_first=True)
            lengths = torch.tensor([len(tokens[i]) for i in rows])
            mask = torch.arange(ids.shape[1]) < lengths[:, None]
            states = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            mean = (states * mask.unsqueeze(-1)).sum(dim=1) / lengths[:, None]
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return out

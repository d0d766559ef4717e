"""The models before training: official weights of small sizes, brought in once."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from reasoncd.base_models import CACHE_VARIABLE
from reasoncd.errors import CheckpointError, NotFoundError
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.build import build_llm
from services.reasoner.llama_tokenizer import generate_sentencepiece
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.sam import SamImageEncoder
from training.recipes import Recipe, SampleTraining, load_recipe
from training.samples.start import START_FILE, OfficialFiles, base_model_ref, build_stage, prompt_space
from training.stages.samples import SampleStage

pytestmark = pytest.mark.unit

NOTHING = OfficialFiles()


@pytest.fixture
def recipe() -> Recipe:
    """`paper-tiny` that starts from official weights, its language model being one of a folder."""
    tiny = load_recipe("paper-tiny")
    return replace(tiny, reasoner=replace(tiny.reasoner, base_model="tiny-llama"))


@pytest.fixture
def training(recipe: Recipe) -> SampleTraining:
    assert recipe.samples is not None
    return replace(recipe.samples, official_weights=True, presence=0.4)


@pytest.fixture
def official(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfficialFiles:
    """Files of these sizes in the layouts of their projects."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    torch.manual_seed(3)
    encoder = SamImageEncoder(recipe.vision.sam, recipe.vision.image_size)
    decoder = ChangeMaskDecoder(recipe.decoder)
    parts = {
        "image_encoder": encoder.encoder,
        "prompt_encoder": decoder.prompt_encoder,
        "mask_decoder": decoder.mask_decoder,
    }
    sam = {f"{part}.{n}": t for part, module in parts.items() for n, t in module.state_dict().items()}
    torch.save(sam, tmp_path / "sam.pth")
    clip = ClipPatchEncoder(recipe.vision.clip).visual.state_dict()
    torch.save({f"visual.{n}": t for n, t in clip.items()}, tmp_path / "clip.pt")
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    llama = tmp_path / "llama"
    build_llm(recipe.reasoner.llm).save_pretrained(llama)
    (llama / "tokenizer.model").write_bytes(generate_sentencepiece(recipe.reasoner.llm.vocab_size))
    return OfficialFiles(
        sam=tmp_path / "sam.pth",
        clip=tmp_path / "clip.pt",
        resnet34=tmp_path / "resnet34.pth",
        llama2=llama,
    )


def _build(recipe: Recipe, training: SampleTraining, folder: Path, official: OfficialFiles) -> SampleStage:
    folder.mkdir(exist_ok=True)
    return build_stage(recipe, training, folder, official, say=lambda _: None)


def test_official_weights_are_brought_in_once(
    recipe: Recipe, training: SampleTraining, official: OfficialFiles, tmp_path: Path
) -> None:
    stage = _build(recipe, training, tmp_path / "work", official)
    assert official.sam is not None
    sam = torch.load(official.sam, weights_only=True)
    tokens = sam["mask_decoder.mask_tokens.weight"]
    assert torch.equal(stage.decoder.mask_decoder.mask_tokens.weight, tokens)
    assert torch.equal(stage.encoder.sam.encoder.pos_embed, sam["image_encoder.pos_embed"])
    assert official.resnet34 is not None
    resnet = torch.load(official.resnet34, weights_only=True)
    assert stage.encoder.fpn is not None
    assert torch.equal(stage.encoder.fpn.backbone.state_dict()["conv1.weight"], resnet["conv1.weight"])
    assert base_model_ref(tmp_path / "work") is not None
    # Without the files, from what was kept: the same to the last bit.
    for path in (official.sam, official.clip, official.resnet34):
        assert path is not None
        path.unlink()
    again = _build(recipe, training, tmp_path / "work", NOTHING)
    one, other = stage.state_dict(), again.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_missing_is_named(
    recipe: Recipe, training: SampleTraining, official: OfficialFiles, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="name them with --sam, --clip, --resnet, --llama"):
        _build(recipe, training, tmp_path / "work", NOTHING)
    with pytest.raises(NotFoundError, match="name them with --resnet"):
        _build(recipe, training, tmp_path / "work", replace(official, resnet34=None))
    with pytest.raises(NotFoundError, match="name them with --llama"):
        _build(recipe, training, tmp_path / "work", replace(official, llama2=None))
    with pytest.raises(NotFoundError, match=r"gone\.pth is not there"):
        _build(recipe, training, tmp_path / "work", replace(official, sam=tmp_path / "gone.pth"))
    assert not (tmp_path / "work" / START_FILE).exists()


def test_weights_of_other_sizes_leave_nothing_behind(
    recipe: Recipe, training: SampleTraining, official: OfficialFiles, tmp_path: Path
) -> None:
    assert official.sam is not None
    sam = torch.load(official.sam, weights_only=True)
    sam["image_encoder.pos_embed"] = torch.zeros(1, 4, 4, 32)
    torch.save(sam, official.sam)
    with pytest.raises(CheckpointError, match="pos_embed has shape"):
        _build(recipe, training, tmp_path / "work", official)
    assert not (tmp_path / "work" / START_FILE).exists()


def test_without_official_weights_all_is_drawn_from_the_seed(tmp_path: Path) -> None:
    recipe = load_recipe("paper-tiny")
    assert recipe.samples is not None
    one, same = (_build(recipe, recipe.samples, tmp_path / n, NOTHING).state_dict() for n in ("a", "b"))
    other = _build(recipe, replace(recipe.samples, seed=1), tmp_path / "c", NOTHING).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["decoder.mask_decoder.mask_tokens.weight"],
                           other["decoder.mask_decoder.mask_tokens.weight"])  # fmt: skip
    assert not (tmp_path / "a" / START_FILE).exists()


def test_a_prompt_space_is_minted_once(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert prompt_space(tmp_path) == prompt_space(tmp_path)
    assert prompt_space(tmp_path) != prompt_space(tmp_path / "other")


def test_kept_weights_are_safetensors(
    recipe: Recipe, training: SampleTraining, official: OfficialFiles, tmp_path: Path
) -> None:
    _build(recipe, training, tmp_path / "work", official)
    names = {name.split(".")[0] for name in load_file(tmp_path / "work" / START_FILE)}
    assert names == {"clip", "encoder", "decoder"}

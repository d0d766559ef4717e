"""Recipes out of YAML files: the shipped ones beside this module, and copies that users edit.

```yaml
about: What this recipe is for.
sizes:
  preset: paper            # mini, paper or paper_tiny: the sizes that the services know
  sam: vit_b               # only with `paper`: another of SAM's sizes
  reasoner:                # vision, decoder and reasoner: single fields that differ from the preset's
    lora: {rank: 4}
losses: {dice: 0.5}
stages: ...                # training in stages
samples: ...               # training on sample files
```

Reading is strict: an unknown or missing field, a value of another type and a value that makes no sense are
errors that name the field. Nothing in a file is executed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from reasoncd.config import from_dict, to_dict
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from services.mask_decoder import config as decoder_config
from services.mask_decoder.config import MaskDecoderConfig
from services.reasoner import config as reasoner_config
from services.reasoner.config import ReasonerConfig
from services.vision_encoder import config as vision_config
from services.vision_encoder.config import SamSize, VisionEncoderConfig
from training.losses import LossWeights
from training.recipes.recipe import Recipe, StagedTraining
from training.recipes.sample_training import SampleTraining
from training.strict_yaml import StrictLoader

FOLDER = Path(__file__).parent
PRESETS = ("mini", "paper", "paper_tiny")
_PARTS = ("about", "sizes", "losses", "stages", "samples")
_SIZES = ("preset", "sam", "vision", "decoder", "reasoner")


def recipe_names() -> tuple[str, ...]:
    """The shipped recipes."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or one of the user's by its file.

    Args:
        name: such as `mini`; what ends in `.yaml` or `.yml`, or holds a slash, is a path.

    Raises:
        NotFoundError: there is no such recipe or file.
        InvalidInputError: the file is no recipe; the sentence names the field.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return read_recipe(path)
    if name not in recipe_names():
        raise NotFoundError(
            f"recipe {name!r} is unknown; use one of {', '.join(recipe_names())}, or the path of a .yaml file"
        )
    return read_recipe(FOLDER / f"{name}.yaml")


def read_recipe(path: Path) -> Recipe:
    """Read one file.

    Raises:
        NotFoundError, InvalidInputError: as `load_recipe`.
    """
    content = _mapping(_read_yaml(path), str(path))
    _only(content, _PARTS, str(path))
    try:
        vision, decoder, reasoner, preset = _sizes(content.get("sizes"), f"{path}: sizes")
        return Recipe(
            name=path.stem,
            preset=preset,
            vision=vision,
            decoder=decoder,
            reasoner=reasoner,
            losses=_part(LossWeights, content.get("losses", {}), f"{path}: losses"),
            stages=_optional(StagedTraining, content.get("stages"), f"{path}: stages"),
            samples=_optional(SampleTraining, content.get("samples"), f"{path}: samples"),
        )
    except CheckpointError as error:
        raise InvalidInputError(error.message) from error
    except ValueError as error:
        raise InvalidInputError(f"{path}: {error}") from error


T = TypeVar("T", LossWeights, StagedTraining, SampleTraining)
S = TypeVar("S", VisionEncoderConfig, MaskDecoderConfig, ReasonerConfig)


def _part(cls: type[T], value: Any, where: str) -> T:
    return from_dict(cls, _mapping(value, where), where=where)


def _optional(cls: type[T], value: Any, where: str) -> T | None:
    return None if value is None else _part(cls, value, where)


def _sizes(value: Any, where: str) -> tuple[VisionEncoderConfig, MaskDecoderConfig, ReasonerConfig, str]:
    sizes = _mapping(value, where)
    _only(sizes, _SIZES, where)
    preset, sam = sizes.get("preset"), sizes.get("sam")
    if preset not in PRESETS:
        raise InvalidInputError(f"{where}: field `preset` is {preset!r}; give one of {', '.join(PRESETS)}")
    if sam is not None and (preset != "paper" or sam not in get_args(SamSize)):
        raise InvalidInputError(
            f"{where}: field `sam` is {sam!r}; give one of {', '.join(get_args(SamSize))} with preset paper, "
            "or leave it out"
        )
    vision = {
        "mini": vision_config.mini,
        "paper": lambda: vision_config.paper(sam or "vit_h"),
        "paper_tiny": vision_config.paper_tiny,
    }[preset]()
    decoder: MaskDecoderConfig = getattr(decoder_config, preset)()
    reasoner: ReasonerConfig = getattr(reasoner_config, preset)()
    return (
        _changed(vision, sizes.get("vision"), f"{where}.vision"),
        _changed(decoder, sizes.get("decoder"), f"{where}.decoder"),
        _changed(reasoner, sizes.get("reasoner"), f"{where}.reasoner"),
        preset,
    )


def _changed(config: S, changes: Any, where: str) -> S:
    """A configuration with some fields replaced, nested ones too."""
    if changes is None:
        return config
    merged = _merged(to_dict(config), _mapping(changes, where))
    return from_dict(type(config), merged, where=where)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inner = merged.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[name] = _merged(inner, value)
        else:
            merged[name] = value
    return merged


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError(f"{where} is no mapping of field names to values; see {FOLDER / 'mini.yaml'}")
    return value


def _only(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [name for name in found if name not in known]:
        raise InvalidInputError(f"{where}: field `{unknown[0]}` is unknown; use {', '.join(known)}")


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path} is not there; give a recipe's name or the path of a .yaml file"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as text; give a readable YAML file") from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        problem = getattr(error, "problem", None) or "it does not parse"
        raise InvalidInputError(f"{path}{line} is no YAML: {problem}; mend it") from error

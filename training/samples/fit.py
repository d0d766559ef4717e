"""Fitting the whole model to sample files, and the checkpoint of it: the paper's training.

Everything lies in `samples/` of the working folder: run state and logs as for every stage, the frozen
encoders' features, the weights that training began with, and `test.json`, the figures of the test part.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from reasoncd.config import read_json, write_json
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.manifest import Thresholds
from training.data.look_ahead import LookAhead
from training.data.sample_batches import SampleSource
from training.data.sample_parts import check_parts, digest_of, marks_change
from training.data.samples import SampleSplit
from training.export import TrainedParts, export_checkpoint
from training.reasoner_start import generated_tokenizer
from training.recipes import Recipe, SampleTraining
from training.run.loop import WEIGHTS_FILE, run_stage
from training.run.preflight import check_disk, check_memory
from training.run.processes import is_first, rank, wait_for_all, world_size
from training.run.progress import Report
from training.run.saves import LATEST
from training.samples.feature_cache import FeatureCache
from training.samples.frozen_features import FrozenFeatures, encoders_fingerprint
from training.samples.needs import sample_needs
from training.samples.start import (
    START_FILE,
    OfficialFiles,
    base_model_ref,
    build_stage,
    check_official,
    prompt_space,
)
from training.samples.validation import Figures, answer_freely, choose_thresholds, validate_samples
from training.stages.loading import load_trained
from training.stages.samples import SampleStage

STAGE = "samples"
DATA_FILE = "data.json"
TEST_FILE = "test.json"
FEATURES_FOLDER = "features"


class SampleFit:
    """The sample stage of one recipe in one working folder.

    Args:
        recipe: must have `samples`.
        folder: the working folder.
        report: is told what happens.

    Raises:
        InvalidInputError: the recipe has no `samples`.
    """

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        if recipe.samples is None:
            raise InvalidInputError(
                f"recipe {recipe.name} has no `samples`; leave --samples out, or use paper-bcdd"
            )
        self.recipe = recipe
        self.training: SampleTraining = recipe.samples
        self.folder = folder / STAGE
        self.report = report

    def fit(self, parts: SampleSplit, official: OfficialFiles) -> Figures:
        """Train to the end, from where an earlier call was cut off, and measure the test part.

        Args:
            parts: the samples.
            official: where the official weights lie; needed on the first call of a recipe that wants them.

        Returns:
            Figures of `answer_freely` on the test part; of the validation part where there is no test part.

        Raises:
            ReasonCDError: data, disk, memory or official weights will not do; nothing was trained then.
        """
        check_official(self.recipe, self.training, self.folder, official)
        check_parts(parts)
        if self.training.best_by == "f1" and not marks_change(parts.validation):
            raise InvalidInputError(
                "no mask of the validation part marks a change, so its F1 cannot choose the best weights; "
                "give another split or set samples.best_by to loss"
            )
        run = self.training.run(samples=len(parts.train), processes=world_size())
        activations = self._check_room(parts)
        self._remember(parts)
        stage = build_stage(self.recipe, self.training, self.folder, official, say=self.report.say)
        self._check_texts(stage, parts)
        features = self._features(stage)
        source = SampleSource(
            parts.train,
            features,
            self.training,
            side=self.recipe.vision.image_size,
            rank=rank(),
            processes=world_size(),
        )
        prompt_space(self.folder)
        frozen = {name for name, p in stage.named_parameters() if not p.requires_grad}

        def validate(_: nn.Module) -> Mapping[str, float]:
            return validate_samples(stage, parts.validation, features)

        ahead = LookAhead(source.batch) if torch.cuda.is_available() else None
        try:
            weights = run_stage(
                stage,
                ahead.batch if ahead else source.batch,
                run,
                self.folder,
                keep=lambda name: name not in frozen,
                report=self.report,
                validate=validate,
                activations=activations,
            )
        finally:
            if ahead:
                ahead.close()
        assert weights is not None
        return self._measure(stage, weights, parts, features)

    def export(self, path: Path, parts: SampleSplit, model_card: str) -> tuple[Thresholds, float]:
        """Write the checkpoint.

        Args:
            path: its folder.
            parts: the samples that were trained on; thresholds are chosen on their validation part.
            model_card: Markdown text of its README.

        Returns:
            The thresholds, and the F1 that they give on the validation part.

        Raises:
            NotFoundError: training has not finished yet.
        """
        weights = self.folder / WEIGHTS_FILE
        if not weights.exists():
            raise NotFoundError(
                f"{weights} is not there yet; run `reasoncd-train fit --recipe {self.recipe.name}` to its end"
            )
        self._remember(parts)
        stage = build_stage(self.recipe, self.training, self.folder, OfficialFiles(), say=self.report.say)
        load_trained(stage, load_file(weights), where=str(weights))
        thresholds, f1 = choose_thresholds(
            stage, parts.validation, self._features(stage), judge_presence=self.training.presence > 0
        )
        export_checkpoint(
            path,
            TrainedParts(
                preset=self.recipe.preset,
                clip=stage.clip,
                encoder=stage.encoder.eval(),
                decoder=stage.decoder.eval(),
                reasoner=stage.reasoner.eval(),
                table=None,
                thresholds=thresholds,
                seg_space=prompt_space(self.folder),
                base_model=base_model_ref(self.folder),
            ),
            model_card,
        )
        return thresholds, f1

    def _check_room(self, parts: SampleSplit) -> int:
        """Refuse what memory or disk will not do; returns the bytes that a pass keeps."""
        run = self.training.run(samples=len(parts.train), processes=world_size())
        tokenizer = generated_tokenizer(self.recipe.reasoner.llm.vocab_size)
        needs = sample_needs(self.recipe, self.training, run, tokenizer)
        what = f"training {self.recipe.name}"
        # Of a begun run some of it is there.
        start = needs.start if self.training.official_weights else 0
        start = 0 if (self.folder / START_FILE).exists() else start
        saved = needs.run.save if (self.folder / LATEST).exists() else 0
        check_disk(needs.run.disk + start - saved, self.folder, what)
        cpu = torch.device("cpu")
        if not torch.cuda.is_available():
            mend = "lower samples.micro_batch, set samples.precision to bfloat16 or use a larger machine"
            check_memory((needs.weights + needs.run.memory) * _local_processes(), cpu, what, mend)
            return needs.activations
        check_memory(
            needs.weights * _local_processes(), cpu, f"loading {self.recipe.name}", "use a larger machine"
        )
        gpu = torch.device("cuda", rank() % torch.cuda.device_count())
        mend = "set samples.checkpoint_activations, lower samples.micro_batch or set bfloat16"
        check_memory(needs.weights + needs.run.memory, gpu, what, mend)
        return needs.activations

    def _remember(self, parts: SampleSplit) -> None:
        """Note which samples a run began with, and refuse to go on with others.

        Before its first save nothing was learned from them, so they may still be exchanged.
        """
        path = self.folder / DATA_FILE
        now = {name: digest_of(getattr(parts, name)) for name in ("train", "validation")}
        begun = any((self.folder / name).exists() for name in (LATEST, WEIGHTS_FILE))
        if begun and (before := read_json(path)) != now:
            changed = next(name for name in now if before.get(name) != now[name])
            raise InvalidInputError(
                f"{self.folder} was begun with other samples in its {changed} part; give the same ones or "
                "another --folder"
            )
        if is_first() and not begun:
            write_json(path, now)
        wait_for_all()

    def _check_texts(self, stage: SampleStage, parts: SampleSplit) -> None:
        """Refuse questions and answers that would be cut at inference."""
        tokenizer, config = stage.reasoner.tokenizer, self.recipe.reasoner
        limits = {"question": config.max_query_tokens, "answer": config.max_new_tokens}
        for sample in (*parts.train, *parts.validation, *parts.test):
            lengths = {
                "question": len(tokenizer.encode_user(sample.question)),
                "answer": len(tokenizer.encode_answer(sample.answer)),
            }
            for name, length in lengths.items():
                if length > limits[name]:
                    raise InvalidInputError(
                        f"{sample.origin}: {name} has {length} tokens but at most {limits[name]} are taken; "
                        "shorten it"
                    )

    def _features(self, stage: SampleStage) -> FrozenFeatures:
        vision, precision = self.recipe.vision, self.training.precision
        clip, sam = stage.clip, stage.encoder.sam
        limit = int(self.training.cache_gigabytes * 1e9)
        cache = None
        if limit:
            encoders = encoders_fingerprint(clip, sam, vision, precision)
            folder = self.folder / FEATURES_FOLDER
            cache = FeatureCache(folder, encoders=encoders, limit=limit, shares=world_size())
        return FrozenFeatures(clip, sam, vision, precision, cache)

    def _measure(
        self, stage: SampleStage, weights: Path, parts: SampleSplit, features: FrozenFeatures
    ) -> Figures:
        """Figures of the finished weights, written down beside them."""
        path = self.folder / TEST_FILE
        load_trained(stage, load_file(weights), where=str(weights))
        thresholds, _ = choose_thresholds(
            stage, parts.validation, features, judge_presence=self.training.presence > 0
        )
        part = "test" if parts.test else "validation"
        figures = answer_freely(stage, getattr(parts, part), features, thresholds)
        self.report.say(
            f"{part} part | " + " ".join(f"{name} {value:.4f}" for name, value in figures.items())
        )
        if is_first():
            write_json(path, {"part": part, "samples": len(getattr(parts, part)), **figures})
        return figures


def _local_processes() -> int:
    """Processes that share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

"""DeepSpeed's engine around a stage: optimizer, schedule, ZeRO and accumulation. Nothing else imports it."""

import logging
import sys
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from training.run.config import RunConfig, learning_rate_factor
from training.run.processes import prepare_environment, world_size


def start_engine(stage: nn.Module, config: RunConfig) -> Any:
    """An engine whose `backward` and `step` train the stage, which it moves to its device.

    The optimizer is torch's own AdamW: DeepSpeed's compile for minutes at their first use.
    """
    prepare_environment()
    # DeepSpeed takes seconds to import and greets at level INFO.
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    with redirect_stdout(sys.stderr):
        import deepspeed
        from deepspeed.utils import logger

    logger.setLevel("WARNING")
    optimizer = torch.optim.AdamW(parameter_groups(stage, config), lr=config.learning_rate)
    # The schedule is moved once per update, the steps of a run are counted in batches.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: learning_rate_factor(update * config.accumulation, config)
    )
    # It tells on the standard output, where results belong, what it compiled.
    with redirect_stdout(sys.stderr):
        engine, *_ = deepspeed.initialize(
            model=stage,
            optimizer=optimizer,
            lr_scheduler=schedule,
            config={
                "train_micro_batch_size_per_gpu": config.micro_batch,
                "gradient_accumulation_steps": config.accumulation,
                "gradient_clipping": config.gradient_clipping,
                "zero_optimization": {"stage": config.zero_stage},
                "zero_allow_untested_optimizer": True,
                "steps_per_print": 10**9,
            },
        )
    if world_size() == 1 and config.zero_stage == 0:
        # Averaging with nobody would copy every gradient three times.
        engine.enable_backward_allreduce = False
    return engine


def parameter_groups(stage: nn.Module, config: RunConfig) -> list[dict[str, Any]]:
    """Trainable parameters by pace, and by whether they decay (matrices do, vectors do not)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in stage.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(config.slow), parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": members,
            "lr": config.learning_rate * (config.slow_rate if slow else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (slow, decays), members in groups.items()
    ]

"""The optimizer: SGD or AdamW, its parameter groups and its learning rate."""

import argparse
import logging
from typing import Any

import torch
from torch.optim import Optimizer

from ops.data.dataset_configs import DatasetConfig
from ops.models.recognizer import Recognizer
from ops.training.eager_optimizers import SGD, AdamW

log = logging.getLogger(__name__)


def base_rate(args: argparse.Namespace, config: DatasetConfig) -> float:
    """The learning rate of this run; warns if it does not fit the batch size by the linear scaling rule."""
    if args.scale_lr:
        rate: float = args.lr * args.batch_size / args.scale_lr
        log.info("learning rate %g: %g · %d / %d", rate, args.lr, args.batch_size, args.scale_lr)
        return rate
    if config.recipe and args.optimizer == "sgd":
        fitting = config.recipe.lr * args.batch_size / config.recipe.batch_size
        if abs(args.lr - fitting) > 0.01 * fitting and not args.evaluate:
            log.warning(
                "--lr %g does not fit a batch size of %d: the recipe of %s has %g for %d, which scales to %g "
                "(--lr %g --scale_lr %d does that)", args.lr, args.batch_size, config.name, config.recipe.lr,
                config.recipe.batch_size, fitting, config.recipe.lr, config.recipe.batch_size,
            )  # fmt: skip
    return float(args.lr)


def make_optimizer(
    args: argparse.Namespace, model: Recognizer, rate: float, fast_head: bool, fused: bool = False
) -> Optimizer:
    """SGD with momentum, or AdamW, over the published parameter groups; `fused` uses few kernels per step."""
    groups = model.parameter_groups(fast_head)
    for group in groups:
        group["lr"] = rate * group["lr_mult"]
        group["weight_decay"] = args.weight_decay * group["decay_mult"]
    if args.optimizer == "adamw":
        return AdamW(groups, lr=rate, weight_decay=args.weight_decay, fused=fused or None)
    optimizer = SGD(groups, lr=rate, momentum=args.momentum, weight_decay=args.weight_decay, fused=fused or None)
    complete_state(optimizer)
    return optimizer


def complete_state(optimizer: Optimizer) -> None:
    """Complete the state of a fused `optimizer`, in the memory format of the parameters; others stay unchanged."""
    if isinstance(optimizer, torch.optim.SGD):
        complete_momentum(optimizer)
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] else ():
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if name == "step":  # fused AdamW keeps this count on the device, other versions on the CPU
                    state[name] = value.to(parameter.device, torch.float32)
                elif value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(value)


def optimizer_of(state: Any) -> str | None:
    """The `--optimizer` that saved a state dictionary; None if it had not taken a step yet."""
    first = next(iter(state["state"].values()), None)
    return None if first is None else "adamw" if "exp_avg" in first else "sgd"


def complete_momentum(optimizer: torch.optim.SGD) -> None:
    """Create the missing momentum buffers of fused SGD, in the memory format of the parameters.

    They start at 0, so after the first step they equal the gradient, as in plain SGD. Otherwise fused SGD leaves its
    buffers uninitialised if the first step is skipped, which is usual in fp16. It also rejects buffers in another
    memory format, such as those of a run that is resumed with `--channels_last`, so these are converted.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] and group["momentum"] else ():
            momentum = optimizer.state[parameter].get("momentum_buffer")
            if momentum is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            elif momentum.stride() != parameter.stride():
                optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)

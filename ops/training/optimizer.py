"""The optimizer: SGD, its parameter groups and its learning rate."""

import argparse
import logging

from torch.optim import SGD

from ops.data.dataset_configs import DatasetConfig
from ops.models.recognizer import Recognizer

log = logging.getLogger(__name__)


def base_rate(args: argparse.Namespace, config: DatasetConfig) -> float:
    """The learning rate of this run; warns if it does not fit the batch size by the linear scaling rule."""
    if args.scale_lr:
        rate: float = args.lr * args.batch_size / args.scale_lr
        log.info("learning rate %g: %g · %d / %d", rate, args.lr, args.batch_size, args.scale_lr)
        return rate
    if config.recipe:
        fitting = config.recipe.lr * args.batch_size / config.recipe.batch_size
        if abs(args.lr - fitting) > 0.01 * fitting and not args.evaluate:
            log.warning(
                "--lr %g does not fit a batch size of %d: the recipe of %s has %g for %d, which scales to %g "
                "(--lr %g --scale_lr %d does that)", args.lr, args.batch_size, config.name, config.recipe.lr,
                config.recipe.batch_size, fitting, config.recipe.lr, config.recipe.batch_size,
            )  # fmt: skip
    return float(args.lr)


def make_optimizer(args: argparse.Namespace, model: Recognizer, rate: float, fast_head: bool) -> SGD:
    """SGD with momentum over the published parameter groups."""
    groups = model.parameter_groups(fast_head)
    for group in groups:
        group["lr"] = rate * group["lr_mult"]
        group["weight_decay"] = args.weight_decay * group["decay_mult"]
    return SGD(groups, lr=rate, momentum=args.momentum, weight_decay=args.weight_decay)

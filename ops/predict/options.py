"""The flags of tools that run a model on videos; those that test scripts have too mean and default to the same."""

import argparse

from ops.common.arguments import add_compute_options, positive
from ops.data.dataset_configs import DATASETS
from ops.data.decoders import DECODERS
from ops.data.options import add_protocol_options


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `ops.predict.predictor.predictor_of` reads."""
    group = parser.add_argument_group("model")
    group.add_argument("--weights", required=True, metavar="CKPT", help="a checkpoint")
    group.add_argument("--class_names", metavar="FILE", help="by label (default: the checkpoint's)")
    group.add_argument("--dataset", choices=tuple(DATASETS), metavar="NAME",
                       help="default: the checkpoint's")  # fmt: skip
    group.add_argument("--test_segments", type=positive, metavar="T", help="default: as trained")
    add_protocol_options(parser)
    group = parser.add_argument_group("machine")
    group.add_argument("--decoder", choices=tuple(DECODERS), default="pyav", metavar="NAME",
                       help="pyav (default) or opencv")  # fmt: skip
    group.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: a GPU if any)")
    group.add_argument("--views_per_forward", type=positive, metavar="N", help="default: 30 on a GPU, 3 on a CPU")
    add_compute_options(group)

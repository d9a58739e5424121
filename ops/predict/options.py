"""The flags of tools that run a model on videos; those shared with test scripts have the same meaning and default."""

import argparse

from ops.common.arguments import add_compute_options, add_runtime_option, add_segments_option, positive
from ops.data.dataset_configs import DATASETS
from ops.data.decoders import DECODERS
from ops.data.options import add_protocol_options


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """The flags of the network and of the views that it is given."""
    group = parser.add_argument_group("model and protocol")
    group.add_argument(
        "--weights",
        required=True,
        metavar="CKPT",
        help="file, published name, address or hf:owner/name",
    )
    group.add_argument("--class_names", metavar="FILE", help="file of class names (default: from the checkpoint)")
    group.add_argument("--dataset", choices=tuple(DATASETS), metavar="NAME",
                       help="default: from the checkpoint")  # fmt: skip
    add_segments_option(
        group, "--test_segments", type=positive, metavar="T", help="frames per clip (default: as trained)"
    )
    add_protocol_options(group)


def add_device_option(group: argparse._ArgumentGroup) -> None:
    """The flag --device."""
    group.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: a GPU if any)")


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `ops.predict.predictor.predictor_of` reads."""
    add_network_options(parser)
    group = parser.add_argument_group("machine")
    group.add_argument("--decoder", choices=tuple(DECODERS), default="pyav", metavar="NAME",
                       help="video decoder: pyav (default) or opencv")  # fmt: skip
    add_device_option(group)
    group.add_argument("--views_per_forward", type=positive, metavar="N",
                       help="views in one forward pass (default: GPU 30, CPU 2)")  # fmt: skip
    add_compute_options(group)
    add_runtime_option(group)

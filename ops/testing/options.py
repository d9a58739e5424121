"""The flags of test_models.py and online_test_models.py. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from typing import Any

from ops.common.arguments import (
    Parser,
    add_compute_options,
    add_runtime_option,
    add_segments_option,
    class_count,
    number,
    positive,
)
from ops.data.dataset_configs import DATASETS
from ops.data.options import add_protocol_options, add_template_option
from ops.training.options import add_machine_options, add_no_effect_options


def test_parser(description: str | None, decoders: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `test_models.py` and `online_test_models.py`, which has `decoders`."""
    parser = Parser(description=description)
    parser.add_argument("dataset", metavar="dataset", help=f"one of {', '.join(DATASETS)}")
    _add_members(parser)
    add_protocol_options(parser.add_argument_group("protocol"), tsm_flags=True)
    _add_test_data(parser, frames=not decoders)
    _add_results(parser)
    add_machine_options(parser, decoders)
    group = parser.add_argument_group("speed")
    add_compute_options(group)
    add_runtime_option(group)
    group.add_argument("--batch_size", type=positive, default=1, metavar="N",
                       help="videos that a loader process delivers at once (default: 1)")  # fmt: skip
    group.add_argument("--views_per_forward", type=positive, metavar="N",
                       help="views in one forward pass (default: 30 on a GPU, 2 on a CPU)")  # fmt: skip
    add_no_effect_options(parser, also=("--pretrain",))
    return parser


def _add_members(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models (several models, separated by commas, are fused)")
    group.add_argument(
        "--weights",
        type=_split,
        required=True,
        metavar="CKPT[,CKPT…]",
        help="files, published names, addresses or hf:owner/name",
    )
    add_segments_option(group, "--test_segments", type=_split_positive, metavar="T[,T…]",
                        help="frames per clip (default: as trained)")  # fmt: skip
    group.add_argument("--coeff", type=_split_numbers, metavar="C[,C…]",
                       help="weights of the models' scores (default: 1)")  # fmt: skip
    group.add_argument("--softmax", action="store_true", help="fuse probabilities instead of logits")


def _add_test_data(parser: argparse.ArgumentParser, frames: bool) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--test_list", type=_split, metavar="FILE[,FILE…]",
                       help="list of videos, one for all models or one per model")  # fmt: skip
    group.add_argument("--root_path", type=_split, metavar="DIR[,DIR…]",
                       help="folder that paths in the lists are relative to")  # fmt: skip
    group.add_argument("--num_class", type=class_count, metavar="K",
                       help="number of classes (default: the checkpoint's)")  # fmt: skip
    group.add_argument("--class_names", metavar="FILE", help="file of class names, in label order or numbered")
    group.add_argument("--max_num", type=int, default=-1, metavar="N", help="test only the first N videos")
    if frames:
        add_template_option(group)


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument("--output", metavar="DIR", help="folder for the results (default: test/ beside the weights)")
    group.add_argument("--topk", type=positive, nargs="+", action=_Ascending, default=(1, 5), metavar="K",
                       help="top-k accuracies to give (default: 1 5)")  # fmt: skip
    group.add_argument("--allow_missing", action="store_true", help="exit with status 0 even if videos cannot be read")
    group.add_argument("--save_scores", metavar="FILE.npz", help="save the scores of all videos in this file")
    group.add_argument("--csv_file", metavar="FILE", help="write predictions in the format of the published code")


test_parser.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it


class _Ascending(argparse.Action):
    """Several numbers, each once, in ascending order."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        namespace.topk = tuple(sorted(set(values)))


def _split(text: str) -> list[str]:
    parts = text.split(",")
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty part")
    return parts


def _split_positive(text: str) -> list[int]:
    return [positive(part) for part in _split(text)]


def _split_numbers(text: str) -> list[float]:
    return [number(float, lambda value: value == value, "a number")(part) for part in _split(text)]

"""Training: `train` goes from arguments to checkpoints, `trainer` runs the epochs, `engine` the steps."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.training.options import check_tune_from as check_tune_from
    from ops.training.options import train_parser as train_parser
    from ops.training.train import run_training as run_training

__getattr__ = lazy_names(
    __name__,
    {
        "check_tune_from": "options",
        "run_training": "train",
        "train_parser": "options",
    },
)

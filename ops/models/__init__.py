"""Networks and their checkpoints.

The temporal module is in `tam`. `recognizer` has the complete network, built from `resnet`, `temporal` and `consensus`.
`checkpoint` reads files in every naming scheme ("dialect") that `checkpoint_names` knows.
"""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.models.checkpoint import load_model as load_model
    from ops.models.checkpoint import read_checkpoint as read_checkpoint
    from ops.models.recognizer import Recognizer as Recognizer
    from ops.models.recognizer import build_model as build_model
    from ops.models.tam import TAM as TAM
    from ops.models.weights import check_weights as check_weights

__getattr__ = lazy_names(
    __name__,
    {
        "Recognizer": "recognizer",
        "build_model": "recognizer",
        "load_model": "checkpoint",
        "read_checkpoint": "checkpoint",
        "TAM": "tam",
        "check_weights": "weights",
    },
)

"""Live predictions: windows that slide over a camera, a network stream, or a file at its own speed."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.live.options import add_live_options as add_live_options
    from ops.live.run_live import LiveOptions as LiveOptions
    from ops.live.run_live import live_options as live_options
    from ops.live.run_live import live_predictor as live_predictor
    from ops.live.run_live import predict_live as predict_live

__getattr__ = lazy_names(
    __name__,
    {
        "add_live_options": "options",
        "LiveOptions": "run_live",
        "live_options": "run_live",
        "live_predictor": "run_live",
        "predict_live": "run_live",
    },
)

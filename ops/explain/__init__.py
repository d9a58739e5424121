"""Explaining predictions: what the TAMs of a network did, and where in the frames the evidence is."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.explain.explain_videos import ExplainOptions as ExplainOptions
    from ops.explain.explain_videos import explain_into as explain_into
    from ops.explain.explainer import Video as Video
    from ops.explain.explainer import find_class as find_class
    from ops.explain.explainer import open_explainer as open_explainer

__getattr__ = lazy_names(
    __name__,
    {
        "Video": "explainer",
        "find_class": "explainer",
        "open_explainer": "explainer",
        "ExplainOptions": "explain_videos",
        "explain_into": "explain_videos",
    },
)

"""Predicting single videos with a trained model: what happens (`predictor`), and when (`windows`, `timeline`,
`overlay`)."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.predict.inputs import Video as Video
    from ops.predict.inputs import check_distinct as check_distinct
    from ops.predict.inputs import find_inputs as find_inputs
    from ops.predict.options import add_predictor_options as add_predictor_options
    from ops.predict.predict_videos import PredictOptions as PredictOptions
    from ops.predict.predict_videos import check_places as check_places
    from ops.predict.predict_videos import expected_clips as expected_clips
    from ops.predict.predict_videos import is_file_name as is_file_name
    from ops.predict.predict_videos import place_drawings as place_drawings
    from ops.predict.predict_videos import place_tables as place_tables
    from ops.predict.predict_videos import predict_all as predict_all
    from ops.predict.predictor import Predictor as Predictor
    from ops.predict.predictor import open_predictor as open_predictor
    from ops.predict.predictor import predictor_of as predictor_of
    from ops.predict.windows import LENGTH as LENGTH
    from ops.predict.windows import MIDDLES as MIDDLES
    from ops.predict.windows import Windows as Windows
    from ops.predict.windows import default_stride as default_stride

__getattr__ = lazy_names(
    __name__,
    {
        "Predictor": "predictor",
        "open_predictor": "predictor",
        "predictor_of": "predictor",
        "add_predictor_options": "options",
        "Video": "inputs",
        "check_distinct": "inputs",
        "find_inputs": "inputs",
        "PredictOptions": "predict_videos",
        "check_places": "predict_videos",
        "expected_clips": "predict_videos",
        "is_file_name": "predict_videos",
        "place_drawings": "predict_videos",
        "place_tables": "predict_videos",
        "predict_all": "predict_videos",
        "LENGTH": "windows",
        "MIDDLES": "windows",
        "Windows": "windows",
        "default_stride": "windows",
    },
)

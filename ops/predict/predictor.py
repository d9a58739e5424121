"""A trained model with its preprocessing: scores single videos like the test scripts score lists."""

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ops.common.device import Compute, compute_of, pick_device
from ops.common.errors import InputError, memory_errors_as_media_errors
from ops.common.text import counted
from ops.data.class_order import differing_order
from ops.data.dataset_configs import DATASETS, DatasetConfig, dataset_config
from ops.data.decoders import video_reader
from ops.data.frame_source import Reader
from ops.data.frames import frame_reader
from ops.data.mirror import mirror_partners
from ops.data.mixed_reader import MixedReader
from ops.data.open_lists import count_classes, find_class_names
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, view_pixels
from ops.data.sampling import DENSE_WINDOW, Indices, Sample, parse_sample
from ops.data.videos import VideoSource
from ops.data.views import MakePlan, Views, views_of
from ops.models.checkpoint import Checkpoint, model_of, read_checkpoint
from ops.models.flops import multiply_adds
from ops.models.recognizer import Recognizer
from ops.models.runtimes import choose_runtime, describe_runtime, inference_network, opened_network, with_fallback
from ops.testing.ensemble import default_sample
from ops.testing.evaluation_protocol import SIGMOID, describe_views
from ops.training.engine import score_views, sigmoid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The mean logits `[K]` of a video over its views, and what was wrong with it if it was cut short ("").

    `shares [K]` are its probabilities if they are not the softmax of the logits: those of a model for several labels
    per video, which are also given as `logits` if they are means over views.
    """

    path: str
    logits: NDArray[np.float32]
    class_names: Sequence[str] | None
    truncated: str = ""
    shares: NDArray[np.float32] | None = None

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The softmax of the logits, `[K]`, or `shares` if the video may have several classes."""
        if self.shares is not None:
            return self.shares.astype(np.float64)
        powers = np.exp(self.logits.astype(np.float64) - self.logits.max())
        shares: NDArray[np.float64] = powers / powers.sum()
        return shares

    @property
    def label(self) -> str:
        """The best class: its name if known, else its number."""
        return self.top(1)[0][0]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """See `best_classes`."""
        return best_classes(self.probabilities, self.class_names, count)


@dataclass(frozen=True)
class Predictor:
    """A model, the views that it is given of a video (`crops` crops of the clips of `sample`), and its classes.

        predictor = open_predictor("ckpt.best.pth.tar")
        views = predictor.views("video.mp4")  # open and transform: `views.frames` is uint8 [F, 3, H, W]
        logits = predictor.logits(views)  # or all at once: predictor("video.mp4").top()

    `partners [K]` is the class of each class's mirror image (-1: none); `views_per_forward` views are computed at once
    (None: 30 on a GPU, 3 on a CPU).
    """

    checkpoint: Checkpoint
    model: Recognizer
    shape: ClipShape
    sample: Sample
    crops: int
    full_res: bool
    class_names: list[str] | None
    partners: NDArray[np.int64]
    reader: Reader
    compute: Compute
    views_per_forward: int | None = None

    def __call__(self, path: str | os.PathLike[str]) -> Prediction:
        """Score the video, or the folder of frames, at `path`; MediaError if it cannot be read."""
        views = self.views(path)
        return self.prediction(path, self.logits(views).numpy(), views.truncated)

    def views(self, path: str | os.PathLike[str]) -> Views:
        """The views of the video at `path`, as input of the model; MediaError if it cannot be read."""
        path = os.fspath(path)
        with memory_errors_as_media_errors(path), self.reader.open(path, -1) as source:
            shortfall = source.shortfall if isinstance(source, VideoSource) else ""
            return views_of(source, self.choose, self.plan(), self.shape.new_length, shortfall)

    def logits(self, views: Views) -> Tensor:
        """The mean logits `[K]` over all views, float32 on the CPU; InputError if they are not finite.

        For a model for several labels per video, the mean probabilities.
        """
        chunk = self.views_per_forward or self.compute.views_at_once
        scores = score_views(self.network, views, views.clips[0], self.partners, chunk, self.compute, self.multi_label)
        check_finite(scores.numpy(), self.checkpoint.path)
        return scores

    def averaged(self, scores: Tensor) -> Tensor:
        """What is averaged over views: the network's `scores`, or their sigmoid if a video may have several classes."""
        return sigmoid(scores) if self.multi_label else scores

    def prediction(self, path: str | os.PathLike[str], logits: NDArray[np.float32], truncated: str = "") -> Prediction:
        """The prediction with these `logits [K]` and the names of the classes."""
        return Prediction(os.fspath(path), logits, self.class_names, truncated, logits if self.multi_label else None)

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several classes."""
        return self.checkpoint.multi_label

    def choose(self, num_frames: int, sample: Sample | None = None) -> list[Indices]:
        """The first frames `[V, T]` of the clips of a video of `num_frames`, as a list of one element."""
        return choose_views(num_frames, [self.model.num_segments], sample or self.sample, self.shape.new_length)

    def plan(self) -> MakePlan:
        """Height and width of a video → how its frames are resized and cropped."""
        return test_plan_for(self.shape, self.crops, self.full_res)

    @property
    def pixels(self) -> int:
        """The side of a view."""
        return view_pixels(self.shape, self.crops, self.full_res)

    def in_runtime(self, name: str, clips: float | None = None) -> "Predictor":
        """This predictor with the runtime `name`; InputError if it cannot be used.

        "auto" chooses the fastest exact one that is installed for about so many `clips` (default: those of one video),
        each of which is scored in all `crops`. It is PyTorch if there are few, because the others take longer to start.
        """
        views = (self.sample.clips if clips is None else clips) * self.crops
        return replace(self, compute=choose_runtime(self.compute, name, views * multiply_adds(self.model, self.pixels)))

    @cached_property
    def _opened(self) -> tuple[nn.Module, Compute]:
        """The network, and what computes it: PyTorch if the runtime that "auto" chose cannot."""
        if not self.compute.may_fall_back:
            return inference_network(self.model, self.compute), self.compute
        shape = self.model.clip_shape(self.pixels)
        return with_fallback(self.compute, lambda compute: opened_network(self.model, compute, shape))

    @property
    def network(self) -> nn.Module:
        """The fastest form of the model in its runtime: with folded batch norms, and compiled if requested."""
        return self._opened[0]

    @property
    def runtime(self) -> str:
        """What computes the network, see `describe_runtime`."""
        return describe_runtime(self._opened[1] if self.compute.may_fall_back else self.compute)

    @property
    def protocol(self) -> str:
        """The model, its views and its runtime in words."""
        scores = SIGMOID if self.multi_label else "logits"
        return describe_views(
            [(self.model, self.shape)], self.sample, self.crops, self.full_res, runtime=self.runtime, scores=scores
        )


def best_classes(
    probabilities: NDArray[np.float64], names: Sequence[str] | None, count: int = 5
) -> list[tuple[str, float]]:
    """The `count` best classes, by name if known, else by number, and their `probabilities [K]`."""
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[k] if names else str(k), float(probabilities[k])) for k in best]


def check_finite(logits: NDArray[np.float32], path: str) -> None:
    """InputError unless these logits of the checkpoint at `path` are finite."""
    if not np.isfinite(logits).all():
        raise InputError(f"{path}: its scores are not finite; its weights may come from a run that diverged")


def open_predictor(
    weights: str,
    dataset: str | None = None,
    class_names: str | None = None,
    sample: str | None = None,
    crops: int = 1,
    full_res: bool = False,
    input_size: int | None = None,
    segments: int | None = None,
    decoder: str = "pyav",
    compute: Compute | None = None,
    device: str = "cpu",
    views_per_forward: int | None = None,
    runtime: str = "auto",
) -> Predictor:
    """The model in the file `weights`, ready for videos; InputError if settings contradict each other.

    Args:
        weights: a checkpoint of ours, of the published code or of MMAction2.
        dataset: an entry of `DATASETS`, for its classes and sampling (default: see `guess_dataset`).
        class_names: a file, one name per line (default: the checkpoint's, else the dataset's).
        sample, crops, full_res, input_size, segments, views_per_forward: as in `online_test_models.py`, with the same
            defaults.
        decoder: "pyav" or "opencv".
        compute: device and precision (default: `device`, "cpu", "cuda" or "cuda:N", and fp32).
        runtime: "torch", "onnxruntime", "openvino", or "auto", the fastest exact one for a single video; see
            `Predictor.in_runtime`, also for many.
    """
    compute = compute or Compute(pick_device(None, device))
    choose_runtime(compute, runtime)  # an error about it comes before the file is read
    checkpoint = read_checkpoint(weights)
    model = model_of(checkpoint, segments)
    if checkpoint.meta.get("untrained"):
        log.warning("%s: %s is not trained yet; until then its predictions are meaningless", weights,
                    checkpoint.meta["untrained"])  # fmt: skip
    config = dataset_config(dataset) if dataset else guess_dataset(checkpoint)
    views = parse_sample(sample or default_sample(config, checkpoint))
    if views.kind == "dense" and model.num_segments > DENSE_WINDOW:
        raise InputError(f"the segments ({model.num_segments}) must be at most {DENSE_WINDOW} with {views}")
    names = None if class_names else checkpoint.class_names
    names = names or find_class_names(config, class_names, model.num_classes)
    problem = differing_order(weights, checkpoint.class_names, class_names, names) if class_names else ""
    if problem:
        raise InputError(problem)
    asked = count_classes(config, None, names) or model.num_classes
    if asked != model.num_classes:
        source = class_names or f"dataset {config.name}"
        raise InputError(f"{weights}: has {counted(model.num_classes, 'class')}, but {source} has {asked}")
    compute.prepare(model)
    size = input_size or int(checkpoint.meta.get("input_size") or 224)
    reader = MixedReader(video_reader(config, model.modality, decoder), frame_reader(config, model.modality))
    predictor = Predictor(
        checkpoint, model, ClipShape(model.num_segments, model.modality, size), views, crops, full_res, names,
        mirror_partners(config, model.num_classes, names), reader, compute,
        views_per_forward,
    )  # fmt: skip
    return predictor.in_runtime(runtime)


def guess_dataset(checkpoint: Checkpoint) -> DatasetConfig:
    """The dataset that a checkpoint was trained on: from its meta, else Kinetics for 400 classes, else "custom"."""
    stored = checkpoint.meta.get("dataset")
    if stored in DATASETS:
        return dataset_config(str(stored))
    return dataset_config("kinetics" if stored is None and checkpoint.spec.num_classes == 400 else "custom")


def predictor_of(args: argparse.Namespace) -> Predictor:
    """The predictor that the arguments ask for; InputError if that is not possible."""
    compute = compute_of(args, pick_device(None, args.device))
    return open_predictor(
        args.weights,
        args.dataset,
        args.class_names,
        args.sample,
        args.test_crops,
        args.full_res,
        args.input_size,
        args.test_segments,
        args.decoder,
        compute,
        views_per_forward=args.views_per_forward,
        runtime=args.runtime,
    )

"""Explaining the prediction for a clip: what the TAMs did, and where in each frame the evidence is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ops.common.console import progress
from ops.common.device import Compute, pick_device
from ops.common.errors import InputError, MediaError
from ops.common.open_files import PER_LOADER, allow_open_files
from ops.common.optional_packages import need
from ops.data.dataloaders import make_loader, workers_of
from ops.data.datasets import Failure
from ops.data.pipelines import choose_views
from ops.data.sampling import Indices
from ops.data.views import load_views
from ops.explain.tam_hooks import TamRecorder, watch_tams
from ops.predict.predictor import Prediction, Predictor, check_finite, open_predictor
from ops.training.train_step import forward


@dataclass(frozen=True)
class Video:
    """A video to explain: its `path`, its name, and its label if a list gives one (-1: none)."""

    path: str
    name: str
    label: int = -1


@dataclass(frozen=True)
class ShownClip:
    """The one clip of a video that is explained.

    Attributes:
        frames: the 0-based numbers of its frames in the video, int64 `[T]`.
        pixels: uint8 `[T, 3, H, W]`.
        truncated: what was wrong with a video that was cut short, else "".
    """

    index: int
    frames: Indices
    pixels: Tensor
    truncated: str


@dataclass(frozen=True)
class Explanation:
    """The explanation of one clip.

    Attributes:
        target: the class that `cam` is about.
        cam: float32 `[T, h, w]`, the contribution of each position of the last stage to the target's logit: the sum
            over all positions is the logit without the bias. Negative values are evidence against the class.
        watch: what the TAMs did; empty if the network has none.
    """

    video: Video
    clip: ShownClip
    prediction: Prediction
    target: int
    cam: NDArray[np.float32]
    watch: TamRecorder


class ClipsDataset(Dataset[ShownClip | Failure]):
    """Dataset of the clip of each video, as input of `predictor`, or the reason why it failed."""

    def __init__(self, videos: Sequence[Video], predictor: Predictor) -> None:
        if predictor.sample.clips != 1 or predictor.crops != 1:
            raise ValueError(f"one clip is explained at a time, not {predictor.sample} and {predictor.crops} crops")
        self.videos, self.reader, self.shape = list(videos), predictor.reader, predictor.shape
        self.sample, self.plan = predictor.sample, predictor.plan()

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> ShownClip | Failure:
        chosen: list[Indices] = []

        def choose(num_frames: int) -> list[Indices]:
            chosen[:] = choose_views(num_frames, [self.shape.num_segments], self.sample, self.shape.new_length)
            return chosen

        try:
            views = load_views(self.reader, self.videos[index].path, -1, choose, self.plan)
        except MediaError as error:
            return Failure(index, self.videos[index].name, error.reason)
        pixels = views.clip(0, views.clips[0])[0].contiguous()
        return ShownClip(index, chosen[0][0], pixels, views.truncated)


def open_explainer(
    weights: str,
    dataset: str | None = None,
    class_names: str | None = None,
    kind: str | None = None,
    segments: int | None = None,
    device: str | None = None,
) -> Predictor:
    """The model in the file `weights`, set up for one clip per video: the middle one of its test's clips.

    `kind` is "dense" or "uniform" (default: as in its test); the other arguments are those of `open_predictor`.
    InputError if settings contradict each other.
    """
    need("captum")
    compute = Compute(pick_device(None, device))
    sample = f"{kind}-1" if kind else None
    predictor = open_predictor(
        weights, dataset, class_names, sample, segments=segments, compute=compute, runtime="torch"
    )
    return replace(predictor, sample=predictor.sample.one_clip)


def explain_videos(
    predictor: Predictor, videos: Sequence[Video], target: int | None, workers: int
) -> Iterator[Explanation | Failure]:
    """Explain the videos in order; `target` is as in `explain_clip`."""
    for shown in _clips(predictor, videos, workers, "explaining"):
        if isinstance(shown, Failure):
            yield shown
        else:
            yield explain_clip(predictor, videos[shown.index], shown, target)


def score_videos(predictor: Predictor, videos: Sequence[Video], workers: int) -> NDArray[np.float32]:
    """The logits `[V, K]` of the clip of each video; rows of NaN for videos that cannot be read."""
    logits = np.full((len(videos), predictor.model.num_classes), np.nan, dtype=np.float32)
    with torch.inference_mode():
        for shown in _clips(predictor, videos, workers, "scoring again"):
            if isinstance(shown, ShownClip):
                logits[shown.index] = forward(predictor.model, shown.pixels[None], predictor.compute)[0].cpu().numpy()
    return logits


def _clips(predictor: Predictor, videos: Sequence[Video], workers: int, what: str) -> Iterator[ShownClip | Failure]:
    allow_open_files(workers, PER_LOADER)
    dataset = ClipsDataset(videos, predictor)
    loader = make_loader(dataset, workers, _only, torch.device("cpu"))
    with workers_of(loader), progress(loader, len(videos), what, "video", len(videos) > 1) as bar:
        yield from bar


def _only(items: list[ShownClip | Failure]) -> ShownClip | Failure:
    """A batch of one → its item."""
    return items[0]


def explain_clip(predictor: Predictor, video: Video, clip: ShownClip, target: int | None = None) -> Explanation:
    """Run the network once on `clip` and record the explanation; `target` defaults to the predicted class.

    Afterwards only the last stage's parameters require gradients, because a class activation map needs no others.
    """
    from captum.attr import LayerGradCam  # optional, see open_explainer

    seen: list[Tensor] = []

    def score(pixels: Tensor) -> Tensor:
        """`[1, T, 3, H, W]` → the logit of the explained class, `[1]`."""
        logits = forward(predictor.model, pixels, predictor.compute)
        seen[:] = [logits.detach()[0].cpu()]
        return logits[:, int(logits.argmax()) if target is None else target]

    model = predictor.model.eval()
    stage = model.base_model.last_stage
    model.requires_grad_(False)
    stage.requires_grad_(True)
    with watch_tams(model) as watch:
        places = LayerGradCam(score, stage).attribute(clip.pixels[None])  # [T, 1, h, w]
    logits = seen[0].numpy()
    check_finite(logits, predictor.checkpoint.path)
    shares = seen[0].sigmoid().numpy() if predictor.multi_label else None
    prediction = Prediction(video.path, logits, predictor.class_names, clip.truncated, shares)
    cam = places.detach()[:, 0].float().cpu().numpy()
    return Explanation(video, clip, prediction, int(logits.argmax()) if target is None else target, cam, watch)


def find_class(text: str, predictor: Predictor) -> int:
    """The class with the name or number `text`; InputError, with the known classes, if there is none."""
    names, count = predictor.class_names, predictor.model.num_classes
    if names and text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < count:
        return int(text)
    known = f"; the classes are {', '.join(names[:10])}{' …' if count > 10 else ''}" if names else ""
    raise InputError(f"--target {text}: no such class, by name or number (0…{count - 1}){known}")


def class_name(index: int, class_names: Sequence[str] | None) -> str:
    """The name of a class, or its number if names are not known."""
    return class_names[index] if class_names else str(index)

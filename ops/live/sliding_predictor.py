"""Scores of sliding windows; the features of each frame are computed once for all windows that contain it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.live.sliding_windows import SlidingWindows
from ops.models.frame_features import divided_network
from ops.models.runtimes import with_fallback
from ops.predict.predictor import Predictor, check_finite


class SlidingPredictor:
    """The network of `predictor` on `windows`; `computed` counts the frames that went through its first part.

    `predictor` has the runtime that is used: PyTorch if the one that "auto" chose cannot compute the network.
    """

    def __init__(self, predictor: Predictor, windows: SlidingWindows) -> None:
        self._windows = windows
        plan = predictor.plan()(predictor.shape.input_size, predictor.shape.input_size)
        self._mirrored = plan.mirrored  # for each view
        self._size = plan.views[0].height, plan.views[0].width
        partners = predictor.partners
        self._partners = np.where(partners < 0, np.arange(len(partners)), partners)
        self._features: dict[int, Tensor] = {}
        _, compute = with_fallback(predictor.compute, lambda compute: self._open(replace(predictor, compute=compute)))
        self.predictor = replace(predictor, compute=compute)
        self.computed = 0

    def _open(self, predictor: Predictor) -> None:
        """Score a window of noise, because runtimes translate the network, and compilers compile it, at first use."""
        self.predictor = predictor
        self._encode, self._score = divided_network(predictor.model, predictor.compute)
        noise, shape = torch.Generator().manual_seed(0), (len(self._mirrored), 3, *self._size)
        slots = {int(slot) for slot in self._windows.slots(0).flat}
        frames = {slot: torch.randint(256, shape, generator=noise).byte() for slot in slots}
        self._features = {slot: self._features_of(frame) for slot, frame in frames.items()}
        self.logits(0)
        self._features = {}

    def add(self, slot: int, views: Tensor) -> None:
        """Compute the features of the frame at `slot`: `views [V, 3, H, W]`, uint8."""
        self._features[slot] = self._features_of(views)
        self.computed += 1

    @torch.inference_mode()
    def _features_of(self, views: Tensor) -> Tensor:
        compute = self.predictor.compute
        with compute.autocast():
            features: Tensor = self._encode(compute.bring(views))
        return features

    def forget(self, before: int) -> None:
        """Drop the features of slots below `before`."""
        self._features = {slot: kept for slot, kept in self._features.items() if slot >= before}

    @torch.inference_mode()
    def logits(self, number: int) -> NDArray[np.float32]:
        """The mean logits `[K]` of window `number`, all of whose frames were added; InputError if not finite.

        Of a model for several labels per video, the mean probabilities.
        """
        total = np.zeros(len(self._partners))
        clips = self._windows.slots(number)
        for view, is_mirrored in enumerate(self._mirrored):
            for clip in clips:
                frames = torch.stack([self._features[int(slot)][view] for slot in clip])
                with self.predictor.compute.autocast():
                    scores = self.predictor.averaged(self._score(frames[None])[0].float()).double().cpu().numpy()
                total += scores[self._partners] if is_mirrored else scores
        logits: NDArray[np.float32] = (total / (len(self._mirrored) * len(clips))).astype(np.float32)
        check_finite(logits, self.predictor.checkpoint.path)
        return logits

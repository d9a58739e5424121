"""A reimplementation of the published method, for comparison with the speed of this project."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ops.models.recognizer import Recognizer
from ops.models.tam import TAM


class PublishedTAM(TAM):
    """TAM with copies: move channels before time, multiply, convolve with one group per channel, move back."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → a tensor of the same shape."""
        frames, c, h, w = x.shape
        t = self.num_segments
        n = frames // t
        series = x.view(n, t, c, h, w).permute(0, 2, 1, 3, 4).contiguous()
        pooled = F.adaptive_avg_pool2d(series.view(n * c, t, h, w), 1).view(n * c, t)
        kernel = self.G(pooled).view(n * c, 1, 3, 1)
        importance = self.L(pooled.view(n, c, t)).view(n, c, t, 1, 1)
        weighed = (series * importance).view(1, n * c, t, h * w)
        mixed = F.conv2d(weighed, kernel, padding=(1, 0), groups=n * c).view(n, c, t, h, w)
        return mixed.permute(0, 2, 1, 3, 4).contiguous().view(frames, c, h, w)


class UnfusedTAM(TAM):
    """TAM by PyTorch's operations on a GPU too, as on a CPU."""

    def _fuses(self, x: Tensor) -> bool:
        return False


def use_tam(kind: type[TAM], model: Recognizer) -> None:
    """Make `model` compute TAM as `kind` does, with the same weights, in place."""
    for module in model.modules():
        if type(module) is TAM:
            module.__class__ = kind


def decode_by_seeking(path: str, clips: NDArray[np.int64]) -> list[Image.Image]:
    """Decode one frame after another, each with a seek; frames shared by clips `[V, T]` are decoded repeatedly."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    images = []
    for index in clips.ravel().tolist():
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        _, frame = capture.read()
        images.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
    capture.release()
    return images


def three_crops(images: list[Image.Image], size: int, mean: list[float], std: list[float]) -> Tensor:
    """Resize all images with Pillow and take three square crops of each: float `[3 · len(images) · 3, size, size]`."""
    crops = []
    for image in images:
        width, height = image.size
        scale = size / min(width, height)
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
        free = image.size[0] - size
        crops += [image.crop((left, 0, left + size, size)) for left in (0, free, free // 2)]
    stacked = np.concatenate([np.array(crop) for crop in crops], axis=2)
    pixels = torch.from_numpy(stacked).permute(2, 0, 1).contiguous().float().div(255)
    repeats = len(crops)
    return pixels.sub_(torch.tensor(mean * repeats)[:, None, None]).div_(torch.tensor(std * repeats)[:, None, None])

"""Resizing frames: bilinear with antialiasing on uint8, bit for bit like torchvision's `v2.functional.resize`.

It is reimplemented here because `import torchvision` takes seconds in every script and worker.
"""

import platform

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_NATIVE = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")
"""Whether uint8 is resized directly on this CPU, by torchvision's rule; otherwise in float32, and rounded."""


def resize(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """`frame` (uint8 `[C, h, w]`) at `size` (height, width): uint8 `[C, *size]`; itself if it has that size."""
    if tuple(frame.shape[-2:]) == size:
        return frame
    channels, _, width = frame.shape
    if frame.stride(0) == 1 and frame.stride(2) == channels:  # channels last
        # As a batch of one with exactly these strides, PyTorch resizes it in its memory format. From a crop, or with
        # another stride of the batch, it would make a result with channels first, and copying that is slow.
        pixels = frame.permute(1, 2, 0).contiguous()
        image = pixels.as_strided((1, *frame.shape), (pixels.numel(), 1, width * channels, channels))
    else:
        image = frame.reshape(1, *frame.shape)
    resized = interpolate(image if _NATIVE else image.float(), size, mode="bilinear", antialias=True)
    return (resized if _NATIVE else resized.round_().to(frame.dtype))[0]

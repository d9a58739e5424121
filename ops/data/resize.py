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
    image = frame.reshape(1, *frame.shape)
    if image.is_contiguous(memory_format=torch.channels_last) and image.stride(0) != image.numel():
        # Without this, PyTorch does not recognise channels last in a batch of one and gives another memory order.
        image = image.as_strided(image.shape, (image.numel(), *image.stride()[1:]))
    resized = interpolate(image if _NATIVE else image.float(), size, mode="bilinear", antialias=True)
    return (resized if _NATIVE else resized.round_().to(frame.dtype))[0]

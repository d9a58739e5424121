"""Resizing frames: bilinear with antialiasing on uint8, with the bits of torchvision's `v2.functional.resize`.

It is written here because `import torchvision` takes seconds, which every script and worker would wait for.
"""

import platform

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_NATIVE = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")
"""Whether PyTorch resizes uint8 as it is on this CPU, by torchvision's rule; else it is done in float32 and rounded."""


def resize(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """`frame` (uint8 `[C, h, w]`) at `size` (height, width): uint8 `[C, *size]`; itself where it has that size."""
    if tuple(frame.shape[-2:]) == size:
        return frame
    image = frame.reshape(1, *frame.shape)
    if image.is_contiguous(memory_format=torch.channels_last) and image.stride(0) != image.numel():
        # Else PyTorch does not see that images of one are in channels last, and gives the result in another order.
        image = image.as_strided(image.shape, (image.numel(), *image.stride()[1:]))
    resized = interpolate(image if _NATIVE else image.float(), size, mode="bilinear", antialias=True)
    return (resized if _NATIVE else resized.round_().to(frame.dtype))[0]

"""RandAugment of whole clips (`--augment randaugment`)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


class RandAugment:
    """torchvision's `v2.RandAugment` with its defaults: two operations of magnitude 9 of 31, the same for all frames.

    It draws its random numbers from PyTorch's global state, which is set from the clip's generator for the call and
    restored after it, so that a clip does not depend on what its process did before.
    """

    def __init__(self) -> None:
        from torchvision.transforms import v2  # imported here because it takes seconds, and few runs need it

        self._transform: Any = v2.RandAugment()

    def __call__(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """`clip`, uint8 `[T, 3, H, W]`, augmented, in channels-last memory format like the clips of decoders."""
        before = torch.get_rng_state()
        try:
            # Not `torch.manual_seed`, which would also seed the accelerators.
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            augmented: Tensor = self._transform(clip)
        finally:
            torch.set_rng_state(before)
        return augmented.contiguous(memory_format=torch.channels_last)

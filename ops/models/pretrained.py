"""ImageNet weights for a backbone: torchvision's own download, or a file."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from ops.common import distributed
from ops.common.errors import InputError
from ops.common.tensor_files import load_tensors
from ops.models.checkpoint_names import to_backbone_names

log = logging.getLogger(__name__)

IMAGENET = "IMAGENET1K_V1"


def load_backbone(network: nn.Module, arch: str, pretrain: str) -> None:
    """Fill `network`, a plain ResNet `arch`, with `pretrain`: "imagenet", "none" or a file.

    A file may be a torchvision state dict or any checkpoint that `ops.models.checkpoint_names` knows; its
    classifier is left out. InputError, in one line, where the weights cannot be had or do not fit.
    """
    if pretrain == "none":
        return
    if pretrain == "imagenet":
        state, source = _imagenet(arch), f"{arch} {IMAGENET}"
    else:
        state, source = tensors_of(load_tensors(pretrain), pretrain), pretrain
    backbone = to_backbone_names(state)
    expected = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    wrong = [
        name
        for name, value in expected.items()
        if not name.endswith("num_batches_tracked") and (name not in backbone or backbone[name].shape != value.shape)
    ]
    if wrong:
        raise InputError(f"{source}: does not hold a {arch}: {len(wrong)} tensors do not fit, such as {wrong[0]}")
    network.load_state_dict({name: backbone[name] for name in expected if name in backbone}, strict=False)
    log.info("backbone: %s", source)


def tensors_of(loaded: object, path: str | Path) -> dict[str, Tensor]:
    """The state dict in what a checkpoint file held: itself, or under `state_dict` or `model`; else InputError."""
    if isinstance(loaded, Mapping):
        inner = loaded.get("state_dict", loaded.get("model", loaded))
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            odd = [name for name, v in inner.items() if not _is_dense(v)]
            if odd:
                raise InputError(f"{path}: {odd[0]} is not a dense tensor")
            return {str(name): value for name, value in inner.items()}
    raise InputError(f"{path}: holds no state_dict of tensors")


def _is_dense(value: Tensor) -> bool:
    """Whether every number of `value` is stored: one that is repeated could stand for any amount of memory."""
    if value.layout != torch.strided or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _imagenet(arch: str) -> dict[str, Tensor]:
    """torchvision's weights, from its cache or by download; only one process of a machine downloads."""
    from torchvision.models import get_model_weights  # takes seconds

    weights = get_model_weights(arch)[IMAGENET]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(weights.url)
    try:
        if distributed.local_rank() == 0:
            weights.get_state_dict(progress=distributed.is_main(), check_hash=True)
        distributed.barrier()
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"cannot download the ImageNet weights of {arch} ({reason}); fetch {weights.url} elsewhere and put it "
            f"at {cached}, or give --pretrain FILE or --pretrain none"
        ) from None
    return state

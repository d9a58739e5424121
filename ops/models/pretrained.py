"""ImageNet weights for a backbone: those of torchvision, which are downloaded, or a file."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ops.common.errors import InputError
from ops.common.tensor_files import load_tensors
from ops.models.checkpoint_names import to_backbone_names
from ops.models.download import DownloadError, checkpoints_folder, download, hash_in_name

log = logging.getLogger(__name__)

IMAGENET = "IMAGENET1K_V1"


def load_backbone(network: nn.Module, arch: str, pretrain: str) -> None:
    """Load `pretrain` ("imagenet", "none" or a file) into `network`, a plain `arch`.

    A file may be a torchvision state dict or any checkpoint that `ops.models.checkpoint_names` knows; its classifier
    is not loaded. InputError, in one line, if the weights cannot be obtained or do not fit.
    """
    if pretrain == "none":
        return
    if pretrain == "imagenet":
        state, source = _imagenet(arch), f"{arch} {IMAGENET}"
    else:
        state, source = tensors_of(load_tensors(pretrain), pretrain), pretrain
    backbone = to_backbone_names(state)
    expected = {
        name: value for name, value in network.state_dict().items() if not name.startswith(("fc.", "classifier."))
    }
    wrong = [
        name
        for name, value in expected.items()
        if not name.endswith("num_batches_tracked") and (name not in backbone or backbone[name].shape != value.shape)
    ]
    if wrong:
        raise InputError(f"{source}: not the weights of a {arch}: {len(wrong)} tensors do not fit, such as {wrong[0]}")
    network.load_state_dict({name: backbone[name] for name in expected if name in backbone}, strict=False)
    log.info("backbone: %s", source)


def tensors_of(loaded: object, path: str | Path) -> dict[str, Tensor]:
    """The state dict in the content of a checkpoint file: the content itself, or its entry `state_dict` or `model`."""
    if isinstance(loaded, Mapping):
        inner = loaded.get("state_dict", loaded.get("model", loaded))
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            odd = [name for name, v in inner.items() if not _is_dense(v)]
            if odd:
                raise InputError(f"{path}: {odd[0]} is not a dense tensor")
            return {str(name): value for name, value in inner.items()}
    raise InputError(f"{path}: contains no state_dict of tensors")


def _is_dense(value: Tensor) -> bool:
    """Whether all elements of `value` are stored: a tensor with stride 0 could expand to any amount of memory."""
    if value.layout != torch.strided or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _imagenet(arch: str) -> dict[str, Tensor]:
    """torchvision's weights, from its cache or downloaded to it."""
    from torchvision.models import get_model_weights  # takes seconds

    url = get_model_weights(arch)[IMAGENET].url
    target = checkpoints_folder() / os.path.basename(url)
    try:
        download(url, target, hash_in_name(target.name))
    except DownloadError as error:
        raise InputError(
            f"cannot download the ImageNet weights of {arch} ({error.reason}); download {url} elsewhere and put it "
            f"at {target}, or give --pretrain FILE or --pretrain none"
        ) from None
    return tensors_of(load_tensors(target), target)

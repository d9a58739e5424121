"""Keeping a part of a recognizer as it is while the rest is trained (`--freeze`)."""

from torch import nn

from ops.common.errors import InputError
from ops.models.recognizer import Recognizer
from ops.models.resnet import STAGES, ResNet


def freeze(model: Recognizer, part: str) -> None:
    """Freeze a `part` of `model`: "none", "backbone" (all but the classifier) or "stages N" (the stem and N stages).

    Temporal modules and non-local blocks belong to the stage that they are in. Frozen parts get no gradients, and their
    batch norms keep their statistics. InputError for stages of a network that has none.
    """
    model.frozen = _modules(model, part)
    for module in model.frozen:
        module.requires_grad_(False)
        module.eval()


def _modules(model: Recognizer, part: str) -> tuple[nn.Module, ...]:
    network = model.base_model
    if part == "none":
        return ()
    if part == "backbone":
        return tuple(module for name, module in network.named_children() if name != network.head_name)
    if not isinstance(network, ResNet):
        raise InputError(f"--freeze {part}: {model.arch} has no stages; use --freeze backbone, or another --arch")
    names = ("conv1", "bn1", *STAGES[: int(part.split()[1])])
    return tuple(getattr(network, name) for name in names)

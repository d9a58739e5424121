"""The exponential moving average of the weights (`--ema`)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ops.common.errors import InputError
from ops.models.recognizer import Recognizer


class ModelEma:
    """The weights that a run validates and saves: the average of those after each step, or `model` itself.

    With `decay` d the average becomes d · average + (1 - d) · weights after each step; it starts from the weights after
    the first step. The statistics of batch norms are averaged in the same way, as in torchvision's recipes and in timm.
    Without a `decay`, `averaged` is `model`, and the other methods do nothing.
    """

    def __init__(self, model: Recognizer, decay: float | None = None) -> None:
        self._model = model
        self._average = None
        if decay is not None:
            update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self._average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)

    @property
    def averaged(self) -> Recognizer:
        """The recognizer with the average."""
        module = self._average.module if self._average else self._model
        assert isinstance(module, Recognizer)
        return module

    def update(self, optimizer: Optimizer) -> None:
        """Add the current weights to the average; to be called after each step of `optimizer`.

        A fused optimizer is also called for the steps that a `GradScaler` skips, which add nothing: its `found_inf`
        says so.
        """
        found = getattr(optimizer, "found_inf", None)
        if self._average and (found is None or not found.any()):
            self._average.update_parameters(self._model)

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores besides the average, which is its `state_dict`; nothing without a `decay`."""
        if not self._average:
            return {}
        trained: dict[str, Tensor] = {name: value.detach() for name, value in self._model.state_dict().items()}
        return {"ema": {"updates": int(self._average.n_averaged), "trained": trained}}

    def restore(self, rest: Mapping[str, Any], path: str) -> None:
        """Continue from the checkpoint at `path`, from which `averaged` has its weights; `rest` contains `state()`."""
        if not self._average:
            return
        try:
            self._average.n_averaged.fill_(int(rest["ema"]["updates"]))
            self._model.load_state_dict(rest["ema"]["trained"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path}: cannot be resumed with --ema: it has no weights that fit ({error})") from None

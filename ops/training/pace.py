"""The settings that the training loop needs: when it validates, saves and ends."""

from dataclasses import dataclass, field

from ops.training.main_metric import TOP1, MainMetric
from ops.training.mixup import NO_MIXING, Mixing
from ops.training.save_interval import Interval


@dataclass(frozen=True)
class Pace:
    """Settings of a run: `eval_freq` in epochs, `print_freq` in steps, an end after `max_steps` (None: never).

    A step computes its batch in `parts`, one after another. The run stops if more than `max_bad_fraction` of the videos
    are broken, or if more than `skip_nonfinite` batches had a loss or gradient that is not finite. It is saved at the
    end of each epoch and at every `interval`, and `keep` older checkpoints are kept. `patience` is that of
    `EarlyStopping`, `ema` the decay of `ModelEma`, `mixing` how clips of a batch are mixed, `metric` chooses the best
    checkpoint.
    """

    seed: int
    eval_freq: int
    print_freq: int
    clip_gradient: float | None
    max_steps: int | None
    parts: int = 1
    max_bad_fraction: float = 1.0
    skip_nonfinite: int = 0
    interval: Interval = field(default_factory=Interval)
    keep: int = 0
    patience: int | None = None
    ema: float | None = None
    mixing: Mixing = NO_MIXING
    metric: MainMetric = TOP1

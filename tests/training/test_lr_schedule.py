"""The learning rate over a training run."""

import pytest

from ops.training.lr_schedule import lr_factor


@pytest.mark.parametrize(
    ("epoch", "options", "factor"),
    [
        (0, {"lr_steps": (50, 75, 90)}, 1.0),
        (49.99, {"lr_steps": (50, 75, 90)}, 1.0),
        (50, {"lr_steps": (50, 75, 90)}, 0.1),
        (80, {"lr_steps": (50, 75, 90)}, 0.01),
        (99, {"lr_steps": (50, 75, 90)}, 0.001),
        (0, {"lr_type": "cos"}, 1.0),
        (50, {"lr_type": "cos"}, 0.5),
        (100, {"lr_type": "cos"}, 0.0),
        (0, {"lr_type": "cos", "warmup_epochs": 10}, 0.01),
        (5, {"lr_type": "step", "warmup_epochs": 10}, 0.505),
        (55, {"lr_type": "cos", "warmup_epochs": 10}, 0.5),
    ],
)
def test_learning_rate(epoch: float, options: dict[str, object], factor: float) -> None:
    assert lr_factor(epoch, 100, **options) == pytest.approx(factor, abs=1e-9)  # type: ignore[arg-type]


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="linear"):
        lr_factor(0, 1, "linear")

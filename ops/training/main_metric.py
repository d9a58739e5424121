"""The metric by which a run chooses its best checkpoint and ends early."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MainMetric:
    """Its name in columns of the log (`val_…`, `best_…`), and in words. In percent: higher is better."""

    name: str
    words: str

    @property
    def column(self) -> str:
        """The column with the value of an epoch's validation."""
        return f"val_{self.name}"

    @property
    def best(self) -> str:
        """The column with the best value so far."""
        return f"best_{self.name}"


TOP1 = MainMetric("top1", "top-1")
MEAN_AP = MainMetric("mAP", "mAP")
"""Of runs with several labels per video."""


def main_metric(multi_label: bool) -> MainMetric:
    """That of runs with one label per video, or with several."""
    return MEAN_AP if multi_label else TOP1

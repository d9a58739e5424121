"""The metric by which a run chooses its best checkpoint and stops early."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MainMetric:
    """A metric in percent, where higher is better: its name in the log's columns (`val_…`, `best_…`) and in text."""

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
"""The metric of runs with several labels per video."""


def main_metric(multi_label: bool) -> MainMetric:
    """The metric of runs with one label per video or, with `multi_label`, several."""
    return MEAN_AP if multi_label else TOP1

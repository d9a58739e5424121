"""The summary at the end of a job: videos done, cut short or failed."""

from ops.common.text import counted, one_line
from ops.prepare.journal import Outcome

NAMED = 10
"""How many videos of each status are named on the console; the report has all."""


def status_of(outcome: Outcome) -> tuple[str, str]:
    """`done`, `cut short` or `failed`, and the reason: fewer frames `decoded` than `claimed`, or the failure."""
    if not outcome.ok:
        return "failed", outcome.reason
    decoded, claimed = outcome.value["decoded"], outcome.value["claimed"]
    if decoded < claimed:
        return "cut short", f"only {decoded} of {counted(claimed, 'frame')} could be read"
    return "done", ""


class Tally:
    """Counts the outcomes of a job by status, and keeps the names of the first few videos that are not `done`."""

    def __init__(self) -> None:
        self.counts = {"done": 0, "cut short": 0, "failed": 0}
        self._named: dict[str, list[str]] = {"cut short": [], "failed": []}

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        status, reason = status_of(outcome)
        self.counts[status] += 1
        if reason and self.counts[status] <= NAMED:
            self._named[status].append(_printable(f"{status}: {outcome.item}: {reason}"))

    @property
    def made(self) -> int:
        """The number of videos that gave a result."""
        return self.counts["done"] + self.counts["cut short"]

    def total(self) -> str:
        """The counts in words."""
        short, failed = self.counts["cut short"], self.counts["failed"]
        done = f"{self.made:,} of {counted(self.made + failed, 'video')} done"
        return f"{done}, {short:,} of them cut short, {failed:,} failed"

    def lines(self) -> list[str]:
        """The names to print, one per line."""
        lines = []
        for status, named in self._named.items():
            more = self.counts[status] - len(named)
            lines += named + ([f"{status}: {more:,} more"] if more else [])
        return lines


def _printable(text: str) -> str:
    """`text` in one line of valid UTF-8."""
    return one_line(text).encode("utf-8", "backslashreplace").decode()

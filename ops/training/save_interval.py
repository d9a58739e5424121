"""The interval of checkpoints within an epoch (`--ckpt_interval`)."""

import argparse
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Save within epochs every so many `steps` or `minutes` (0: never)."""

    steps: int = 0
    minutes: float = 0.0

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether to save after `step` steps of an epoch, `seconds` after the last save."""
        return bool(self.steps and step % self.steps == 0) or bool(self.minutes and seconds >= 60 * self.minutes)


def interval(text: str) -> str:
    """An argparse type: checks the text of an interval, and returns the text, which is plain data for checkpoints."""
    parse_interval(text)
    return text


def parse_interval(text: str) -> Interval:
    """`500` (steps) or `15m` (minutes) → an `Interval`; `never` → one that is never due."""
    if text == "never":
        return Interval()
    number = text.removesuffix("m")
    if not re.fullmatch(r"\d+(\.\d+)?", number) or float(number) <= 0 or (number == text and "." in text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of steps, such as 500, or minutes, such as 15m")
    return Interval(minutes=float(number)) if number != text else Interval(steps=int(number))

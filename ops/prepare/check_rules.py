"""The kinds of problems of list entries, and the rules that detect them: pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ops.common.text import counted
from ops.data.frames import FrameTemplate
from ops.data.lists import Record
from ops.data.sampling import DENSE_WINDOW
from ops.prepare.journal import Outcome

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its severity and its description."""

    severity: str
    meaning: str


KINDS = {
    "missing": Kind(ERROR, "no such file or folder"),
    "unreadable": Kind(ERROR, "cannot be read"),
    "damaged": Kind(ERROR, "some of the listed frames cannot be decoded"),
    "too_few": Kind(ERROR, "fewer frames than the list says"),
    "label": Kind(ERROR, "no label, or not one of the classes"),
    "duplicate": Kind(ERROR, "listed twice in the same list"),
    "leak": Kind(ERROR, "also in another list"),
    "copy": Kind(ERROR, "same content as an entry of another list, under the same or another name"),
    "too_many": Kind(WARNING, "more frames than the list says"),
    "cut_short": Kind(WARNING, "fewer frames than its header claims"),
    "short": Kind(WARNING, "too short for the sampling"),
    "same_name": Kind(WARNING, "same name as an entry of another list, but different content"),
    "naming": Kind(
        WARNING, "frames have other names than in the list's first folder; they are read by their own names"
    ),
    "empty_class": Kind(WARNING, "no video of this class"),
}
"""Every kind of problem, in the order of reports. Errors keep a line out of a cleaned list."""

Problem = tuple[str, str]
"""A key of `KINDS`, and the detail."""


@dataclass(frozen=True)
class Rules:
    """What is expected of the entries of one list.

    `labelled`: whether each needs a label; `counted`: whether `frames` was counted, not just claimed by a header;
    `template`: the names of frames (None: videos); `new_length`: frames per segment.
    """

    num_classes: int
    labelled: bool
    counted: bool
    template: FrameTemplate | None
    num_segments: int
    dense: bool
    new_length: int = 1


def label_problems(labels: Sequence[int] | None, rules: Rules) -> Iterator[Problem]:
    """What is wrong with the labels of an entry; None if the list does not have them."""
    if labels is None and rules.labelled:
        yield "label", "no label, but training and validation need one"
    for label in labels or ():
        if label >= rules.num_classes:
            yield "label", f"label {label} is outside 0…{rules.num_classes - 1}"


def media_problems(record: Record, outcome: Outcome, rules: Rules) -> Iterator[Problem]:
    """The problems of the video or folder of `record`, from the `outcome` of its check."""
    found = outcome.value
    if not outcome.ok:
        yield ("missing" if outcome.stamp == "absent" else "unreadable"), outcome.reason
        return
    listed = record.num_frames
    frames = found.get("decoded", found["frames"])
    if rules.template:
        naming = FrameTemplate(found["pattern"], found["first"])
        if naming != rules.template:
            yield "naming", f"{_words(naming)}, but the others have {_words(rules.template)}"
    if frames < listed:
        kind = "damaged" if found["frames"] >= listed else "too_few" if rules.counted else "cut_short"
        yield kind, f"{frames} of {counted(listed, 'frame')}{_gap(found)}"
    if found["broken"] and not ("decoded" in found and listed >= 0):
        yield "damaged", found["broken"]
    elif found["broken"] and frames >= listed:  # the list has a frame count
        yield "cut_short", found["broken"]
    if 0 <= listed < frames:
        yield "too_many", f"{counted(frames, 'frame')}, but the list says {listed}"
    if found.get("beyond") and listed <= frames:
        yield "cut_short", f"{counted(frames, 'frame')}{_gap(found)}"
    if found.get("claimed", 0) > found["frames"]:
        yield "cut_short", f"{counted(found['frames'], 'frame')}, but its header claims {found['claimed']}"
    yield from _short(min(frames, listed) if listed >= 0 else frames, rules)


def _short(frames: int, rules: Rules) -> Iterator[Problem]:
    positions = max(frames - rules.new_length + 1, 1)
    if frames < 1:
        yield "unreadable", "no frames"
    elif rules.dense and positions < DENSE_WINDOW:
        yield (
            "short",
            f"{counted(frames, 'frame')}; dense sampling needs {DENSE_WINDOW + rules.new_length - 1} and wraps around",
        )
    elif positions < rules.num_segments:
        yield "short", f"{counted(frames, 'frame')} for {rules.num_segments} segments: some are repeated"


def _gap(found: dict[str, int]) -> str:
    return f", then a gap and {found['beyond']} more" if found.get("beyond") else ""


def _words(template: FrameTemplate) -> str:
    return f"{template.pattern} from {template.first}"

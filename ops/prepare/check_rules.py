"""What can be wrong with the entries of a list, and the rules that say so: pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.data.frames import FrameTemplate
from ops.data.list_lines import UNKNOWN
from ops.data.lists import Record
from ops.data.sampling import DENSE_WINDOW
from ops.prepare.journal import Outcome

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: how grave it is, and what it is in words."""

    severity: str
    meaning: str


KINDS = {
    "missing": Kind(ERROR, "there is no such file or folder"),
    "unreadable": Kind(ERROR, "cannot be read"),
    "damaged": Kind(ERROR, "frames that the list counts do not decode"),
    "too_few": Kind(ERROR, "fewer frames than the list says"),
    "label": Kind(ERROR, "no label, or none of the classes"),
    "duplicate": Kind(ERROR, "twice in the same list"),
    "leak": Kind(ERROR, "also in another list"),
    "copy": Kind(ERROR, "same content as an entry of another list, under this or another name"),
    "too_many": Kind(WARNING, "more frames than the list says"),
    "cut_short": Kind(WARNING, "fewer frames than the file itself claims"),
    "short": Kind(WARNING, "too short to be sampled as wanted"),
    "same_name": Kind(WARNING, "same name as an entry of another list, with other content"),
    "naming": Kind(
        WARNING, "frames are named unlike those of the list's first folder; they are read by their own names"
    ),
    "empty_class": Kind(WARNING, "no video of this class"),
}
"""Every kind of problem, in the order of reports. Errors keep a line out of a cleaned list."""

Problem = tuple[str, str]
"""A key of `KINDS`, and the detail."""


@dataclass(frozen=True)
class Rules:
    """What the entries of one list should be.

    `labelled`: whether each needs a label; `counted` whether `frames` is certain, not only what a header claims;
    `template`: how frames should be named (None: videos); `new_length`: frames that one segment looks at.
    """

    num_classes: int
    labelled: bool
    counted: bool
    template: FrameTemplate | None
    num_segments: int
    dense: bool
    new_length: int = 1


def label_problems(label: int, rules: Rules) -> Iterator[Problem]:
    """What is wrong with a label (-1: none)."""
    if label == UNKNOWN and rules.labelled:
        yield "label", "no label, but training and validation need one"
    if label >= rules.num_classes:
        yield "label", f"label {label} is outside 0…{rules.num_classes - 1}"


def media_problems(record: Record, outcome: Outcome, rules: Rules) -> Iterator[Problem]:
    """What is wrong with the video or folder of `record`, as far as `outcome` knows it."""
    found = outcome.value
    if not outcome.ok:
        yield ("missing" if outcome.stamp == "absent" else "unreadable"), outcome.reason
        return
    listed = record.num_frames
    frames = found.get("decoded", found["frames"])
    if rules.template:
        naming = FrameTemplate(found["pattern"], found["first"])
        if naming != rules.template:
            yield "naming", f"{_words(naming)}, where the others have {_words(rules.template)}"
    if frames < listed:
        kind = "damaged" if found["frames"] >= listed else "too_few" if rules.counted else "cut_short"
        yield kind, f"{frames} of {listed} frames{_gap(found)}"
    if found["broken"] and not ("decoded" in found and listed >= 0):
        yield "damaged", found["broken"]
    elif found["broken"] and frames >= listed:  # the list knows
        yield "cut_short", found["broken"]
    if 0 <= listed < frames:
        yield "too_many", f"{frames} frames, listed as {listed}"
    if found.get("beyond") and listed <= frames:
        yield "cut_short", f"{frames} frames{_gap(found)}"
    if found.get("claimed", 0) > found["frames"]:
        yield "cut_short", f"{found['frames']} frames, where its header claims {found['claimed']}"
    yield from _short(min(frames, listed) if listed >= 0 else frames, rules)


def _short(frames: int, rules: Rules) -> Iterator[Problem]:
    positions = max(frames - rules.new_length + 1, 1)
    if frames < 1:
        yield "unreadable", "no frames"
    elif rules.dense and positions < DENSE_WINDOW:
        yield "short", f"{frames} frames; dense sampling wants {DENSE_WINDOW + rules.new_length - 1} and wraps around"
    elif positions < rules.num_segments:
        yield "short", f"{frames} frames for {rules.num_segments} segments: some are repeated"


def _gap(found: dict[str, int]) -> str:
    return f", then a gap and {found['beyond']} more" if found.get("beyond") else ""


def _words(template: FrameTemplate) -> str:
    return f"{template.pattern} from {template.first}"

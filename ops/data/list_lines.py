"""Parsing one line of a list: path, frame count and label, in our lists and in those of other programs.

A line is read if its meaning is certain, and otherwise refused: see `docs/data.md`, "Lists of other programs".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ops.common.text import one_line
from ops.data.file_search import VIDEO_EXTENSIONS

UNKNOWN = -1
_LARGEST = 2**31 - 1
_SHOWN = 80
"""Characters of a line that are quoted in a message."""

_LONGEST = 10_000
"""Only in lines of at most so many characters can the label be a class name; no path is longer."""

# `http://…`, and FFmpeg's protocols, which are not files: `concat:a|b`, `subfile,,start,0,end,0,,:x`, `pipe:0`.
_PROTOCOL = re.compile(r"([a-zA-Z][\w+.-]*://|(async|bluray|cache|concat|concatf|crypto|data|fd|file|hls|pipe)[:,]|"
                       r"(subfile|tee|tcp|udp|unix|rtp)[:,])")  # fmt: skip

_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
_ENDING = "(?:" + "|".join(map(re.escape, VIDEO_EXTENSIONS)) + ")"
_AFTER_VIDEO = re.compile(rf"(.*{_ENDING})(?:\s*[,;|]\s*|\s+)(.+)", re.IGNORECASE)
"""A video's path and what comes after it."""

_ODD = re.compile(r"[,;:|\r]|\.[^.\s]*\s")
"""What paths seldom contain: separators, and a space after a file extension."""

_COUNT = re.compile(r"(?<=[\s,;])(\d+)[\s,;]+")
"""A frame count between other columns."""

_COLUMNS = {
    "path": "path paths video videos video_path videopath file file_path filepath filename file_name name video_name "
            "frame_dir frame_folder folder directory dir clip clip_path",
    "num_frames": "num_frames n_frames nframes frames total_frames frame_count num_frame length",
    "label": "label labels class class_id class_idx class_index classid label_id label_idx target action_cls action "
             "category",
}  # fmt: skip
COLUMN_MEANINGS = {word: column for column, words in _COLUMNS.items() for word in words.split()}
"""Names of columns in the header line of a list, and the column that each means."""

_ANNOTATIONS = {"youtube_id", "video_id", "vid_name", "id"}
"""Columns of dataset annotations, which have ids of videos where lists have paths."""


@dataclass(frozen=True)
class Form:
    """The format of the lines of a list.

    Attributes:
        counts_in_pairs: whether the number in a two-column line is the frame count (lists of frame folders) or the
            label (lists of videos).
        columns: how many numbers each line ends with, if a header says so.
        class_names: the label of each class name, if known: labels may then be names.
        multi_label: whether a video may have several labels (see `ops.data.multi_label_lists`).
    """

    counts_in_pairs: bool
    columns: int | None = None
    class_names: Mapping[str, int] | None = None
    multi_label: bool = False

    def __str__(self) -> str:
        """The expected format, for messages."""
        if self.multi_label:
            return "'path num_frames 3,17,42'" + ("" if self.counts_in_pairs else " or 'path 3,17,42'")
        return "'path num_frames label'" if self.counts_in_pairs else "'path label' or 'path num_frames label'"

    def refusal(self, reason: object, line: str) -> str:
        """The message for a line that cannot be read: the reason, the expected format and the line."""
        is_of_videos = self.counts_in_pairs and (is_video(line) or _AFTER_VIDEO.fullmatch(line))
        advice = "; for a list of videos use online_main.py and online_test_models.py" if is_of_videos else ""
        return f"{reason}; expected {self}, got '{quote(line)}'{advice}"


def quote(line: str) -> str:
    """A line, shortened and escaped for a message."""
    return one_line(line[:_SHOWN]) + ("…" if len(line) > _SHOWN else "")


def names_protocol(path: str) -> bool:
    """Whether `path` is a URL or uses one of FFmpeg's protocols, and is not a file."""
    return (":" in path or "," in path) and bool(_PROTOCOL.match(path))


def is_video(path: str) -> bool:
    """Whether a path has the extension of a video."""
    return path.lower().endswith(VIDEO_EXTENSIONS)


def is_comment(line: str) -> bool:
    """Whether a stripped line is a comment: `#` alone, or `# ` and anything. ValueError if it could also be a path."""
    if not line.startswith("#"):
        return False
    if line.strip("#") == "" or line.lstrip("#")[0].isspace():
        return True
    if _numbers(line)[1]:
        return False  # `#1 fan.mp4 300 0`: a path that begins with #
    raise ValueError("this could be a comment or a path: begin a comment with '# ', and a path with './#'")


def header_form(line: str, form: Form) -> Form | None:
    """The format that the header `line` gives for the lines after it; None if it is not a header.

    ValueError if its columns are not those of a list.
    """
    if line in ("{", "[") or line.startswith(('{"', "[{", '["')):
        raise ValueError("this looks like JSON; a list has one line per video")
    words = [word.strip().strip("\"'").lower() for word in (line.split(",") if "," in line else line.split())]
    columns = [COLUMN_MEANINGS.get(word, "") for word in words]
    annotations = not _ANNOTATIONS.isdisjoint(words)
    if len(words) < 2 or not {"label", "num_frames"} & {*columns}:
        return None
    if "" in columns and not ("," in line and (annotations or "path" in columns)):
        return None
    if columns == ["path", "num_frames"]:
        return replace(form, counts_in_pairs=True, columns=1)
    if columns not in (["path", "label"], ["path", "num_frames", "label"]):
        advice = ": these are annotations; make a list from them with tools/gen_labels.py" if annotations else ""
        raise ValueError(f"a header with other columns{advice}")
    if form.counts_in_pairs and "num_frames" not in columns:
        raise ValueError("a header without a column of frame counts; lists of frame folders need one")
    return replace(form, columns=len(columns) - 1)


def parse_line(line: str, form: Form) -> tuple[str, int, int, int]:
    """One stripped line → (path, num_frames, label, number of numeric columns); -1 for a value that is missing.

    ValueError, with the reason, if it cannot be read.
    """
    fields = line.rsplit(None, 2)
    if len(fields) == 3 and form.columns in (None, 2) and _is_plain(*fields):  # most lines; what follows is slower
        return fields[0], int(fields[1]), int(fields[2]), 2
    name, numbers = _numbers(line)
    if len(numbers) < 2 and (found := _with_class_name(line, form)):
        name, numbers = found
    if form.columns is not None and len(numbers) != form.columns:
        raise ValueError(f"{len(numbers) + 1} columns, but the header has {form.columns + 1}")
    _check_one_label(name, form, len(numbers))
    num_frames = label = UNKNOWN
    if len(numbers) == 2:
        num_frames, label = numbers
    elif numbers and form.counts_in_pairs:
        (num_frames,) = numbers
    elif numbers:
        (label,) = numbers
    elif form.counts_in_pairs:
        raise ValueError("no frame count")
    _check_values(name, num_frames, label, len(numbers) == 2 or form.counts_in_pairs)
    if num_frames == 0 and (not form.counts_in_pairs or is_video(name)):
        raise ValueError("0 frames, or are these two labels? Leave out the frame count, and give one label")
    return name, num_frames, label, len(numbers)


def _is_plain(name: str, num_frames: str, label: str) -> bool:
    """Whether the fields are certainly a path (without ambiguous characters), a frame count and a label."""
    return (
        num_frames.isdecimal()
        and label.isdecimal()
        and len(num_frames) < 10 > len(label)
        and int(num_frames) > 0
        and not _ODD.search(name)
    )


def _numbers(line: str) -> tuple[str, tuple[int, ...]]:
    """A path, and the up to two integers at the end of its line, separated by commas, semicolons or spaces."""
    if "," in line or ";" in line:
        plain = line.replace(";", ",")
        count = _how_many(plain.rsplit(",", 2))
        if count:
            path, *numbers = plain.rsplit(",", count)
            name = line[: len(path)].rstrip()
            return _unquoted(name), tuple(map(_integer, numbers))
    fields = line.rsplit(None, 2)
    count = _how_many(fields)
    if count == 1 and "." in fields[-1] and not is_video(line.rsplit(None, 1)[0]):
        count = 0  # `take 2.0` is more likely a name
    name = fields[0] if count == 2 else line if count == 0 else line.rsplit(None, 1)[0]
    return name, tuple(map(_integer, fields[len(fields) - count :]))


def _how_many(fields: list[str]) -> int:
    """How many of the last two fields are integers; the first field of the line is never counted."""
    count = 0
    while count < min(2, len(fields) - 1) and _is_number(fields[-1 - count].strip()):
        count += 1
    return count


def _is_number(text: str) -> bool:
    return text.isdecimal() or bool(_NUMBER.fullmatch(text))


def _integer(text: str) -> int:
    return int(text.partition(".")[0].strip()[:20])  # a number with more digits is too large anyway


def _with_class_name(line: str, form: Form) -> tuple[str, tuple[int, ...]] | None:
    """Like `_numbers`, for a line whose label is the name of a known class; None for other lines."""
    if not form.class_names or len(line) > _LONGEST:
        return None
    for count in _COUNT.finditer(line):
        label = form.class_names.get(_unquoted(line[count.end() :]))
        if label is not None:
            return _unquoted(line[: count.start()].rstrip(" \t,;")), (int(count[1]), label)
    video = None if form.counts_in_pairs else _AFTER_VIDEO.fullmatch(line)
    label = form.class_names.get(_unquoted(video[2])) if video else None
    return (video[1], (label,)) if video and label is not None else None


def _unquoted(text: str) -> str:
    """A CSV field without its quotes."""
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _check_one_label(name: str, form: Form, numbers: int) -> None:
    """ValueError if a video is followed by more than a frame count and one label, or by an unknown label."""
    video = _AFTER_VIDEO.fullmatch(name) if "." in name and not is_video(name) else None
    if not video:
        return
    rest = video[2]
    if set(rest) <= set("0123456789+-,;| \t[](){}"):
        advice = "separate labels by commas, without spaces" if form.multi_label else "--multi_label trains on several"
        raise ValueError(f"several labels, or unknown columns; {advice}")
    if not form.counts_in_pairs and "/" not in rest:
        if numbers:
            raise ValueError(f"an unknown column, '{quote(rest)}'")
        raise ValueError(f"the label '{quote(rest)}' is neither a number nor a known class name")


def check_label(text: str) -> int:
    """A label, from its digits; ValueError if it is too large."""
    label = _integer(text)
    if label > _LARGEST:
        raise ValueError(f"label ({label}) is too large")
    return label


def _check_values(name: str, num_frames: int, label: int, counted: bool) -> None:
    if num_frames > _LARGEST or label > _LARGEST:
        raise ValueError(f"num_frames ({num_frames}) or label ({label}) is too large")
    if (counted and num_frames < 0) or label < UNKNOWN:
        raise ValueError(f"num_frames ({num_frames}) and label ({label}) must not be negative")
    if "\r" in name or names_protocol(name):
        raise ValueError(f"'{quote(name)}' is not a plain file path (URLs and protocols are not followed)")

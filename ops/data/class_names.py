"""Reading files of class names, in the formats of datasets and other programs."""

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.common.errors import InputError
from ops.common.text import counted

_NUMBERS = {"id", "index", "idx", "number", "label", "class_id", "class_index", "label_id", "target"}
_NAMES = {"name", "class", "class_name", "classname", "label_name", "category", "action", "text", "label"}
"""Names of the two columns in the header of a CSV file."""

_NUMBER_FIRST = re.compile(r"(\d+)(?:\s*[,;\t]\s*|\s+)(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)(?:\s*[,;\t]\s*|\s+)(\d+)")


def read_class_names(path: str | os.PathLike[str]) -> list[str]:
    """The class names in a file, in the order of the labels; InputError, with `file:line`, if it cannot be read.

    Formats: one name per line; lines of number and name, or name and number (`1 ApplyEyeMakeup`); CSV with a header
    of two such columns (`id,name`); JSON, as a list of names or an object from name to number or number to name.
    Numbers must count from 0 or from 1, each occurring once.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path}: cannot read the class names ({reason})") from None
    names = _from_json(path, text) if text.lstrip().startswith(("{", "[")) else _from_lines(path, text)
    repeated = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if repeated:
        raise InputError(f"{path}: the class name {sorted(repeated)[0]!r} occurs more than once")
    return names


def check_class_count(
    source: object, names: Sequence[str], dataset: str, wanted: int | None, num_class: int | None, advice: str = ""
) -> None:
    """InputError unless the number of class names of `source` is that of `dataset` (`wanted`), or `num_class`.

    If `num_class` is given, it overrides the number of the dataset. `advice` is appended to the message.
    """
    expected = num_class or wanted
    if expected in (None, len(names)):
        return
    if num_class:
        raise InputError(f"{source}: {counted(len(names), 'class')}, but --num_class is {num_class}")
    raise InputError(
        f"{source}: {counted(len(names), 'class')}, but {dataset} has {wanted}"
        f"{advice and f'; {advice}'}; if {len(names)} is correct, give --num_class {len(names)}"
    )


def _from_lines(path: str | os.PathLike[str], text: str) -> list[str]:
    """From a text file: CSV with a header, numbered lines, or plain names."""
    lines = [line.strip() for line in text.rstrip().split("\n")]
    for place, line in enumerate(lines, 1):
        if not line:
            raise InputError(f"{path}:{place}: empty line in the class names")
    for delimiter in ",;\t":
        header = [word.strip().strip("\"'").lower() for word in lines[0].split(delimiter)]
        if len(header) > 1 and (roles := _columns(path, header)):
            return _from_table(path, lines, delimiter, *roles)
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        matches = [pattern.fullmatch(line) for line in lines]
        if all(matches):
            pairs = [(match[name].strip('"'), int(match[number])) for match in matches if match]
            if len({name for name, _ in pairs}) < len(pairs):
                continue  # `step 1`, `step 2`: the numbers belong to the names
            if _are_labels([label for _, label in pairs]):
                return _in_order(path, pairs)
            if pattern is _NUMBER_FIRST and len(lines) > 1:
                raise InputError(
                    f"{path}:1: every line begins with a number, but they do not count from 0 or 1 without gaps: "
                    f"{lines[0][:80]!r}; if the numbers belong to the class names, use a JSON list"
                )
    return lines


def _columns(path: str | os.PathLike[str], header: list[str]) -> tuple[int, int] | None:
    """The columns of number and name in a CSV file; None if its first line is not a header."""
    if "youtube_id" in header or "video_id" in header:
        raise InputError(f"{path}:1: annotations of videos ({','.join(header)[:80]}), not class names")
    for number, name in ((0, 1), (1, 0)):
        if len(header) == 2 and header[number] in _NUMBERS and header[name] in _NAMES:
            return number, name
    return None


def _from_table(path: str | os.PathLike[str], lines: list[str], delimiter: str, number: int, name: int) -> list[str]:
    pairs = []
    for place, row in enumerate(csv.reader(lines[1:], delimiter=delimiter), 2):
        if len(row) != 2 or not row[number].strip().isdecimal():
            raise InputError(f"{path}:{place}: expected a number and a name as in the header, got {lines[place - 1]!r}")
        pairs.append((row[name].strip(), int(row[number])))
    return _in_order(path, pairs)


def _from_json(path: str | os.PathLike[str], text: str) -> list[str]:
    """From JSON: a list of names (or of lists of words), or an object of names and numbers."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip().startswith("{"):
            raise InputError(f"{path}: begins like JSON, but is not valid JSON") from None
        return _from_lines(path, text)  # a name can begin with [
    names = _json_list(value) if isinstance(value, list) else None
    for key, other in ((0, 1), (1, 0)) if isinstance(value, dict) else ():
        items = [(item[key], item[other]) for item in value.items()]
        if all(isinstance(name, str) and _is_label(label) for name, label in items):
            names = _in_order(path, [(name.strip('"'), int(label)) for name, label in items])
            break
    if not names:
        raise InputError(f"{path}: expected a JSON list of class names, or an object from each name to its number")
    return names


def _json_list(value: list[Any]) -> list[str] | None:
    words = [" ".join(map(str, name)) if isinstance(name, list) else name for name in value]
    return words if all(isinstance(name, str) and name for name in words) else None


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, int) and not isinstance(value, bool)


def _are_labels(numbers: list[int]) -> bool:
    """Whether numbers count from 0 or from 1, each occurring once."""
    return sorted(numbers) in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def _in_order(path: str | os.PathLike[str], pairs: list[tuple[str, int]]) -> list[str]:
    if not pairs or not _are_labels([label for _, label in pairs]):
        raise InputError(f"{path}: the numbers of the {len(pairs)} classes must count from 0 or 1, each occurring once")
    return [name for name, _ in sorted(pairs, key=lambda pair: pair[1])]

"""The settings of a training from a JSON file (`--config`), such as the `args.json` of a run. Imports nothing heavy."""

import argparse
import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ops.common.arguments import Arguments, Parser
from ops.common.errors import InputError

LARGEST = 2**20
"""Size limit of the file in characters."""

OF_ONE_RUN = (
    "config", "device", "dry_run", "evaluate", "gpus", "max_steps", "no_effect", "resume", "start_epoch", "store_name",
    "suffix", "workers",
)  # fmt: skip
"""Arguments in `args.json` that concern only that run or its machine: its name, its start and end, its devices.

They are ignored there. In a file written by hand they are used.
"""

TEMPORAL = ("temporal", "tam", "shift")
"""Arguments that make one choice together; if the command line has one of them, those of the file are ignored."""


class ConfigParser(Parser):
    """A parser whose flag `--config` names a JSON file with values for the other arguments.

    The file is an object of names and values, or contains one as "arguments". Values are checked in the same way as
    on the command line, which has precedence, and count as given (`Arguments.given`). null counts as not set.
    """

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As in `Parser`; positional arguments may also be in the file. InputError if the file cannot be used."""
        given = list(sys.argv[1:] if args is None else args)
        file = _config_of(given)
        if file is None:
            return super().parse_args(given, namespace)
        settings = self._settings(file)
        values = self._values(file, settings)
        given = self._completed(given, settings)
        on_the_line = super().parse_args(given).given
        if on_the_line & {*TEMPORAL}:
            values = {name: value for name, value in values.items() if name not in TEMPORAL}
        parsed = super().parse_args(given, Arguments(**values))
        parsed.given |= values.keys()
        return parsed

    def _settings(self, file: str) -> dict[argparse.Action, Any]:
        """The unconverted values in `file`, by the arguments that they belong to."""
        content = _read(file)
        of_a_run = isinstance(content.get("arguments"), dict)
        known = {action.dest: action for action in self._actions}
        known |= {flag.lstrip("-"): action for action in self._actions for flag in action.option_strings[::-1]}
        settings, before = {}, dict[argparse.Action, str]()
        for name, value in (content["arguments"] if of_a_run else content).items():
            if value is None or (of_a_run and name in OF_ONE_RUN):
                continue
            if name not in known or name in ("config", "help"):
                similar = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {similar[0]!r}?" if similar else ""
                raise InputError(f"{file}: {name!r} is no setting of {self.prog}{hint}")
            action = known[name]
            if action in settings:
                raise InputError(f"{file}: {name!r} is given twice, the other time as {before[action]!r}")
            if name == f"no-{action.dest}" and isinstance(value, bool):
                value = not value
            before[action] = name
            if value != action.default or value != "":  # "" means not set, and need not be one of the choices
                settings[action] = value
        return settings

    def _values(self, file: str, settings: Mapping[argparse.Action, Any]) -> dict[str, Any]:
        """The values of `settings` after argparse's conversions and checks, by the names of the arguments."""
        words = [word for action, value in settings.items() for word in _words(file, action, value)]
        without_flag = [action for action in self._actions if not action.option_strings]
        stand_in = {action: next(iter(action.choices or ["-"])) for action in without_flag}
        try:
            parsed = super().parse_args([str({**stand_in, **settings}[action]) for action in without_flag] + words)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        names = {action.dest for action in settings}
        return {name: value for name, value in vars(parsed).items() if name in names & parsed.given}

    def _completed(self, given: list[str], settings: Mapping[argparse.Action, Any]) -> list[str]:
        """The command line, with those of the file's positional arguments that it does not have."""
        without_flag = [action for action in self._actions if not action.option_strings]
        names = [str(action.metavar or action.dest) for action in without_flag]
        try:
            super().parse_args(given)
        except InputError as error:
            said = re.match(r"the following arguments are required: ([\w, ]+) \(", str(error))
            lacking = [
                action for action, name in zip(without_flag, names, strict=True) if said and name in said[1].split(", ")
            ]
            if not lacking or not all(action in settings for action in lacking):
                raise
            values = [str(settings[action]) for action in lacking]
            return (
                [*values, *given] if lacking == without_flag else [*given, *([] if "--" in given else ["--"]), *values]
            )
        return given


def _config_of(args: Sequence[str]) -> str | None:
    """The value of the last --config in `args`; None without one."""
    words = list(args[: args.index("--")] if "--" in args else args)
    found = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == "--config":
            found = following
        elif word.startswith("--config="):
            found = word.partition("=")[2]
    return found


def _read(file: str) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"--config {file}: cannot be read ({reason})") from None
    try:
        content = json.loads(text, object_pairs_hook=partial(_object, file)) if len(text) <= LARGEST else None
    except json.JSONDecodeError as error:
        raise InputError(f"--config {file}: line {error.lineno} is not JSON ({error.msg})") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"--config {file}: must be a JSON object of settings, such as the args.json of a run")
    return content


def _object(file: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the JSON file; InputError for a name that it has twice, of which JSON would take the last."""
    content = dict[str, Any]()
    for name, value in pairs:
        if name in content:
            raise InputError(f"{file}: {name!r} is given twice")
        content[name] = value
    return content


def _words(file: str, action: argparse.Action, value: Any) -> list[str]:
    """The words on a command line for a value of the file; none for an argument without a flag, or a false one."""
    flag = next((flag for flag in action.option_strings if flag.startswith("--")), "")
    name, items = flag or action.dest, value if isinstance(value, list) else [value]
    if flag and action.nargs == 0:
        if not isinstance(value, bool):
            raise InputError(f"{file}: {name} must be true or false, not {json.dumps(value)}")
        if isinstance(action, argparse.BooleanOptionalAction):  # false is a choice too: --no-...
            return [flag if value else action.option_strings[-1]]
        return [flag] if value else []
    if isinstance(value, list) and action.nargs != "+":
        raise InputError(f"{file}: {name} takes one value, not a list")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise InputError(f"{file}: {name} must be a number or text, not {json.dumps(item)}")
    if not flag:
        return []
    return [flag, *map(str, items)] if action.nargs == "+" else [f"{flag}={value}"]

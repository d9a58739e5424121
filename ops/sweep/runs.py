"""The runs of a sweep: names and command lines, checked with the parser of the training. Imports nothing heavy."""

import argparse
import difflib
import itertools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.data.decoders import DECODERS
from ops.data.open_lists import check_lists_exist
from ops.models.temporal_options import temporal_options
from ops.training.options import check_tune_from, train_parser

ROOT = Path(__file__).resolve().parents[2]

SCRIPTS = {"main.py": (), "online_main.py": tuple(DECODERS)}
"""The training scripts and their decoders."""

OWN = ("seed", "store_name", "suffix", "root_log", "root_model", "resume", "evaluate", "dry_run", "gpus", "start_epoch")
"""Arguments of the training that the sweep sets itself, or that do not make a complete training."""


NOT_IN_A_FILE = ("evaluate", "dry_run", "gpus", "start_epoch")
"""Those of them that a file for `--config` may have, and that the sweep's own flags do not replace."""


@dataclass(frozen=True)
class Run:
    """A training of a sweep.

    Attributes:
        setting: the values of `--set` by the names given there; equal for the seeds of one setting.
        seed: its seed.
        name: the name of its folder.
        words: its command line, from the script on.
        device: the value of its `--device`.
    """

    setting: Mapping[str, str]
    seed: int
    name: str
    words: Sequence[str]
    device: str | None = None

    @property
    def command(self) -> list[str]:
        """The command line, with this Python."""
        return [sys.executable, "-u", str(ROOT / self.words[0]), *self.words[1:]]


def runs_of(args: argparse.Namespace, command: Sequence[str]) -> list[Run]:
    """The runs that the arguments of tools/sweep.py ask for, seed by seed, so that all settings have a result early.

    InputError for every mistake that can be found before a run starts.
    """
    script, *flags = command[1:] if Path(command[0]).name.startswith("python") else command
    script = Path(script).name
    if script not in SCRIPTS:
        raise InputError(f"{command[0]}: the command after -- must be main.py or online_main.py and its flags")
    parser = train_parser(None, SCRIPTS[script])
    parser.prog = script
    known = {flag.lstrip("-"): action for action in parser._actions for flag in action.option_strings}
    _check_own(parser, flags)
    names = [name for name, _ in args.set]
    _check_set(script, names, known)
    out, runs, parsed_runs = Path(args.out).absolute(), [], []
    for seed, values in itertools.product(args.seeds, itertools.product(*(values for _, values in args.set))):
        setting = dict(zip(names, values, strict=True))
        name = "_".join([*(f"{key}-{_plain(value)}" for key, value in setting.items()), f"seed{seed}"])
        own = [word for key, value in setting.items() for word in _words(known, key, value)]
        own += ["--seed", str(seed), "--root_log", str(out), "--root_model", str(out), "--store_name", name]
        words = [*flags, *own, "--resume", "auto"]
        parsed = parser.parse_args(words)
        _check_run(parsed, setting, known)
        parsed_runs.append(parsed)
        runs.append(Run(setting, seed, name, [script, *words], parsed.device))
    _check_names(runs)
    _check_differences(runs, parsed_runs)
    return runs


def _check_set(script: str, names: Sequence[str], known: Mapping[str, argparse.Action]) -> None:
    """InputError for a name of `--set` that is none of the `known` flags which a sweep can set, or is there twice."""
    free = [name for name, action in known.items() if action.dest not in (*OWN, "help", "config")]
    for name in names:
        if name not in free:
            similar = [] if name in known else difflib.get_close_matches(name, free, 1)
            hint = f"did you mean {similar[0]}?" if similar else "seeds: --seeds"
            raise InputError(f"--set {name}: {script} has no such flag that a sweep could set ({hint})")
        if [known[other].dest for other in names].count(known[name].dest) > 1:
            raise InputError(f"--set {name}: is given twice; give all values in one, as {name}=V1,V2")


def _check_run(parsed: argparse.Namespace, setting: Mapping[str, str], known: Mapping[str, argparse.Action]) -> None:
    """InputError for a run that would fail at once, or would not be what `--set` says."""
    for name in NOT_IN_A_FILE:
        if name in parsed.given:  # on the command line it was refused before
            raise InputError(f"{parsed.config}: {name}: leave it out, because this would not be a run of a sweep")
    if parsed.device not in (None, "cpu", "cuda"):
        raise InputError(f"--device {parsed.device}: a sweep chooses the GPUs itself, see its --gpus")
    for key, value in setting.items():
        fixed = known[key].nargs == 0 and not _opposite(key, known)
        if fixed and value == "false" and getattr(parsed, known[key].dest):
            raise InputError(f"--set {key}=false: the command or its --config turns it on, and no flag turns it off")
    temporal_options(parsed)
    check_lists_exist(parsed, "train", "val")
    check_tune_from(parsed)


def _check_differences(runs: Sequence[Run], parsed: Sequence[argparse.Namespace]) -> None:
    """InputError where two runs would be the same training, such as those of lr=0.1,1e-1."""
    seen: dict[str, Run] = {}
    for run, args in zip(runs, parsed, strict=True):
        settings = repr({**vars(args), "store_name": None})
        if settings in seen:
            raise InputError(f"{seen[settings].name} and {run.name} would be the same training: give other values")
        seen[settings] = run


def _check_own(parser: argparse.ArgumentParser, flags: Sequence[str]) -> None:
    for action in parser._actions:
        for flag in action.option_strings:
            if action.dest in OWN and any(word == flag or word.startswith(f"{flag}=") for word in flags):
                raise InputError(f"{flag}: leave it out of the command, because the sweep sets it (see --help)")


def _check_names(runs: Sequence[Run]) -> None:
    """InputError if two runs would have the same folder, or if the name of a folder is too long."""
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            raise InputError(f"two runs would have the folder {run.name}: give other values, and each seed once")
        if len(run.name.encode()) > 200:
            raise InputError(f"the folder {run.name[:60]}… would have too long a name: give fewer or shorter values")


def _plain(value: str) -> str:
    """`value` as part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "-", value)


def _opposite(name: str, known: Mapping[str, argparse.Action]) -> list[str]:
    """The flag that turns a switch off; none where there is no such flag."""
    action = known[name]
    if not isinstance(action, argparse.BooleanOptionalAction):
        return []
    return [flag for flag in action.option_strings if flag.startswith("--no-") != name.startswith("no-")]


def _words(known: Mapping[str, argparse.Action], name: str, value: str) -> list[str]:
    """The words on the command line for a value of --set: a switch is true or false, a list is separated by spaces."""
    action = known[name]
    flag = f"--{name}" if f"--{name}" in action.option_strings else action.option_strings[0]
    if action.nargs == 0:
        if value not in ("true", "false"):
            raise InputError(f"--set {name}={value}: {flag} is a switch: give true or false")
        return [flag] if value == "true" else _opposite(name, known)
    if action.nargs == "+":
        return [flag, *value.split()]
    return [f"{flag}={value}"] if flag.startswith("--") else [flag, value]


def shown(run: Run) -> str:
    """The command of a run, quoted for a shell."""
    return shlex.join(run.command)

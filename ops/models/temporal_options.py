"""The options of the temporal modules. Imports nothing heavy."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ops.common.arguments import positive
from ops.common.errors import InputError

TEMPORAL_MODULES = {
    "tam": "ops.models.tam",
    "tsm": "ops.models.tsm",
    "tconv": "ops.models.temporal_conv",
    "tim": "ops.models.tim",
    "pool": "ops.models.temporal_pool",
    "i3d": "ops.models.i3d",
}
"""Temporal modules by name, each with the Python module whose `insert` puts it into a block of the network.

A line here and a file with an `insert` add a module of your own: see docs/extending.md.
"""

PLACES = ("before_conv1", "after_conv1", "after_conv2", "after_conv3")
BRANCHES = ("both", "global", "local")
SHIFT_PLACES = ("blockres", "block")
NON_LOCAL_MODES = ("embedded_gaussian", "dot_product", "gaussian")
STAGES = (1, 2, 3, 4)


@dataclass(frozen=True)
class TemporalOptions:
    """The temporal module of a network, and its settings; InputError for values that cannot be built.

    Attributes:
        module: one of `TEMPORAL_MODULES`, or "none".
        stages: the stages of the ResNet, 1 to 4, whose blocks have the module.
        place: where in a block a module on features (tam, tconv, tim, pool) is: after the activation that follows a
            convolution; `before_conv1` is the input of the residual branch, `after_conv3` before the sum. These are
            TANet-a to TANet-d in the paper of TAM.
        kernel: taps of TAM's adaptive kernel, an odd number (paper: K).
        alpha: TAM's global branch has alpha · T hidden units.
        beta: TAM's local branch has C / beta channels.
        branches: TAM with "both" branches, or only the "global" or the "local" one.
        shift_div: TSM shifts 1 / shift_div of the channels each way.
        shift_place: TSM shifts the input of the residual branch ("blockres"), or of the whole block ("block").
        non_local: mode of the non-local blocks, one of `NON_LOCAL_MODES`; "" for none.
    """

    module: str = "none"
    stages: tuple[int, ...] = STAGES
    place: str = "after_conv1"
    kernel: int = 3
    alpha: int = 2
    beta: int = 4
    branches: str = "both"
    shift_div: int = 8
    shift_place: str = "blockres"
    non_local: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(sorted(set(self.stages))))
        if not self.stages or not set(self.stages) <= set(STAGES):
            raise InputError(f"temporal stages ({_listed(self.stages)}) must be some of 1 2 3 4")
        choices = {
            "place": PLACES,
            "branches": BRANCHES,
            "shift_place": SHIFT_PLACES,
            "non_local": ("", *NON_LOCAL_MODES),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} ({getattr(self, name)}) must be one of {', '.join(filter(None, allowed))}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"the adaptive kernel ({self.kernel}) must have an odd number of taps")
        if min(self.alpha, self.beta) < 1:
            raise InputError(f"alpha ({self.alpha}) and beta ({self.beta}) must be at least 1")
        if self.shift_div < 2:
            raise InputError(f"shift_div ({self.shift_div}) must be at least 2: a part is shifted each way")

    @property
    def needs_segments(self) -> bool:
        """Whether the network needs to know where a clip begins and ends: all except a plain 2-D network do."""
        return self.module != "none" or bool(self.non_local)

    def as_meta(self) -> dict[str, Any]:
        """Plain data for the `meta` of a checkpoint; `from_meta` reads it."""
        return {**asdict(self), "stages": list(self.stages)}

    @classmethod
    def from_meta(cls, stored: Mapping[str, Any]) -> "TemporalOptions":
        """The options in `stored`, the result of `as_meta`, perhaps of another version; unknown keys are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})


_FLAGS = {
    "module": "--temporal",
    "stages": "--temporal_stages",
    "place": "--temporal_place",
    "kernel": "--tam_kernel",
    "alpha": "--tam_alpha",
    "beta": "--tam_beta",
    "branches": "--tam_branches",
    "shift_div": "--shift_div",
    "shift_place": "--shift_place",
    "non_local": "--non_local",
}
_USED_BY = {
    "place": ("tam", "tconv", "tim", "pool"),
    **dict.fromkeys(("kernel", "alpha", "beta", "branches"), ("tam",)),
    **dict.fromkeys(("shift_div", "shift_place"), ("tsm",)),
}
"""Options that only some modules read; the others are read by all."""


def used_options(options: TemporalOptions) -> dict[str, Any]:
    """The options that the module reads, by the names of their flags."""
    if options.module == "none":
        return {"--temporal": "none", "--non_local": options.non_local}
    return {
        flag: getattr(options, name)
        for name, flag in _FLAGS.items()
        if name not in _USED_BY or options.module in _USED_BY[name] or options.module not in TEMPORAL_MODULES
    }


def _changed_options(options: TemporalOptions) -> dict[str, Any]:
    """Those of `used_options` that differ from their defaults."""
    defaults = used_options(TemporalOptions(options.module))
    return {flag: value for flag, value in used_options(options).items() if value != defaults[flag]}


def temporal_flags(options: TemporalOptions) -> list[str]:
    """The flags of the training scripts for these options, except those with default values."""
    flags = ["--temporal", options.module] if options.module != "none" else []
    for flag, value in _changed_options(options).items():
        flags += [flag, *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return flags


def name_parts(options: TemporalOptions) -> list[str]:
    """What distinguishes runs with these options in the names of their folders: "tam", or "shift8" and "blockres"."""
    words = [] if options.module == "none" else [options.module]
    if options.module == "tsm":  # as in TSM's published names
        words = [f"shift{options.shift_div}", options.shift_place]
    for flag, value in _changed_options(options).items():
        if flag not in ("--shift_div", "--shift_place", "--non_local"):
            name = flag.removeprefix("--").removeprefix("temporal_").removeprefix("tam_")
            words.append(name + "".join(map(str, value)) if isinstance(value, tuple) else f"{name}_{value}")
    return [*words, "nl"] if options.non_local else words


def differing_option(theirs: TemporalOptions, ours: TemporalOptions) -> str:
    """The first option in which the network of a checkpoint differs from the one to train, in words; "" if none."""
    before, now = used_options(theirs), used_options(ours)
    for flag in {**before, **now}:
        if before.get(flag) != now.get(flag):
            return f"{flag} is {_shown(before.get(flag))} in the checkpoint, but {_shown(now.get(flag))} here"
    return ""


def _shown(value: Any) -> str:
    return _listed(value) if isinstance(value, tuple) else str(value) or "not set"


def add_temporal_options(group: argparse._ArgumentGroup) -> None:
    """The flags from which `temporal_options` makes a `TemporalOptions`."""
    defaults = TemporalOptions()
    group.add_argument("--temporal", choices=(*TEMPORAL_MODULES, "none"), metavar="MODULE",
                       help=f"{', '.join(TEMPORAL_MODULES)} or none (default: none, which is TSN)")  # fmt: skip
    group.add_argument("--tam", "--self_conv", action="store_true", help="the same as --temporal tam: TANet")
    group.add_argument("--shift", action="store_true", help="the same as --temporal tsm: TSM")
    group.add_argument("--temporal_stages", type=int, nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE",
                       help="stages of the network that have the module (default: 1 2 3 4)")  # fmt: skip
    group.add_argument("--temporal_place", choices=PLACES, default=defaults.place, metavar="PLACE",
                       help=f"place of tam, tconv, tim or pool in a block: {', '.join(PLACES)} "
                            f"(default: {defaults.place})")  # fmt: skip
    group.add_argument("--tam_kernel", type=_odd, default=defaults.kernel, metavar="K",
                       help="taps of TAM's adaptive kernel (default: 3)")  # fmt: skip
    group.add_argument("--tam_alpha", type=positive, default=defaults.alpha, metavar="A",
                       help="hidden units of TAM's global branch per frame (default: 2)")  # fmt: skip
    group.add_argument("--tam_beta", type=positive, default=defaults.beta, metavar="B",
                       help="TAM's local branch has 1/B of the channels inside (default: 4)")  # fmt: skip
    group.add_argument("--tam_branches", choices=BRANCHES, default=defaults.branches,
                       help="branches of TAM (default: both)")  # fmt: skip
    group.add_argument("--shift_div", type=_at_least_two, default=defaults.shift_div, metavar="N",
                       help="TSM shifts 1/N of the channels each way (default: 8)")  # fmt: skip
    group.add_argument("--shift_place", choices=SHIFT_PLACES, default=defaults.shift_place,
                       help="TSM shifts a block's residual branch or all its input (default: blockres)")  # fmt: skip
    group.add_argument("--non_local", nargs="?", const=NON_LOCAL_MODES[0], default="", choices=NON_LOCAL_MODES,
                       metavar="MODE",
                       help=f"add non-local blocks: {', '.join(NON_LOCAL_MODES)} (without MODE the first)")  # fmt: skip


def temporal_arguments(options: TemporalOptions) -> dict[str, Any]:
    """The arguments, by name, for which `temporal_options` returns these options; --tam and --shift are not needed."""
    values = {flag.removeprefix("--"): getattr(options, name) for name, flag in _FLAGS.items()}
    return {**values, "temporal_stages": list(options.stages)}


def temporal_options(args: argparse.Namespace) -> TemporalOptions:
    """The temporal module that the flags ask for; InputError if they contradict each other."""
    modules = {"--tam": "tam" if args.tam else "", "--shift": "tsm" if args.shift else "", "--temporal": args.temporal}
    asked = {flag: module for flag, module in modules.items() if module}
    if len(set(asked.values())) > 1:
        flags = [f"--temporal {module}" if flag == "--temporal" else flag for flag, module in asked.items()]
        raise InputError(f"{' and '.join(flags)} ask for different temporal modules: give only one of them")
    module = next(iter(asked.values()), "none")
    return TemporalOptions(
        module, tuple(args.temporal_stages), args.temporal_place, args.tam_kernel, args.tam_alpha, args.tam_beta,
        args.tam_branches, args.shift_div, args.shift_place, args.non_local,
    )  # fmt: skip


def _odd(text: str) -> int:
    value: int = positive(text)
    if value % 2 == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be an odd number")
    return value


def _at_least_two(text: str) -> int:
    value: int = positive(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 2")
    return value


def _listed(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))

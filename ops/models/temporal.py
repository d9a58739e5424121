"""Putting the temporal module that a user chose into the residual blocks of a network."""

import importlib

from ops.common.errors import InputError
from ops.models.resnet import LAYERS, STAGES, ResNet
from ops.models.temporal_block import Insert
from ops.models.temporal_options import TEMPORAL_MODULES, TemporalOptions

DEEP_STAGE = 23
"""TSM shifts every second block of a network whose third stage has at least so many blocks (published code)."""


def insert_temporal(network: ResNet, arch: str, num_segments: int, options: TemporalOptions) -> None:
    """Put the temporal module of `options` into the blocks of `network`, in place.

    Raises:
        InputError: the module is unknown, or the architecture has no such place.
    """
    if options.module == "none":
        return
    insert = _insert_of(options.module)
    every = 2 if options.module == "tsm" and options.shift_place == "blockres" and LAYERS[arch][2] >= DEEP_STAGE else 1
    for number in options.stages:
        stage = getattr(network, STAGES[number - 1])
        for index in range(0, len(stage), every):
            stage[index] = insert(stage[index], num_segments, options)


def _insert_of(module: str) -> Insert:
    source = TEMPORAL_MODULES.get(module)
    if source is None:
        raise InputError(f"unknown temporal module {module}; use one of {', '.join(TEMPORAL_MODULES)}")
    insert: Insert = importlib.import_module(source).insert
    return insert

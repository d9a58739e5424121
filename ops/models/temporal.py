"""Inserting the chosen temporal module into the residual blocks of a network."""

import importlib

from ops.common.errors import InputError
from ops.models.backbone import Backbone
from ops.models.mobilenet import MobileNetV2, shifted_blocks
from ops.models.non_local import insert_non_local
from ops.models.resnet import LAYERS, STAGES, ResNet
from ops.models.temporal_block import Insert
from ops.models.temporal_options import STAGES as STAGE_NUMBERS
from ops.models.temporal_options import TEMPORAL_MODULES, TemporalOptions
from ops.models.tsm import TemporalShift

DEEP_STAGE = 23
"""TSM shifts every second block of a network whose third stage has at least so many blocks (published code)."""


def insert_temporal(network: Backbone, arch: str, num_segments: int, options: TemporalOptions) -> None:
    """Put the temporal module and the non-local blocks of `options` into `network`, in place.

    Raises:
        InputError: the module is unknown, or the architecture does not have that place.
    """
    if isinstance(network, MobileNetV2):
        _insert_into_mobilenet(network, num_segments, options)
        return
    if options.module != "none":
        _insert_into_resnet(network, arch, num_segments, options)
    if options.non_local:
        insert_non_local(network, num_segments, options.non_local)


def _insert_into_mobilenet(network: MobileNetV2, num_segments: int, options: TemporalOptions) -> None:
    supported = options.module == "none" or (options.module == "tsm" and options.shift_place == "blockres")
    if not supported or options.non_local or options.stages != STAGE_NUMBERS:
        raise InputError(
            "mobilenet_v2 has no stages of residual blocks: it takes --temporal tsm with --shift_place blockres in all "
            "of it, or none; use a ResNet for the other modules"
        )
    for block in shifted_blocks(network) if options.module == "tsm" else ():
        block.conv[0] = TemporalShift(block.conv[0], num_segments, options.shift_div)


def _insert_into_resnet(network: ResNet, arch: str, num_segments: int, options: TemporalOptions) -> None:
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

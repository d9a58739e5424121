#!/usr/bin/env bash
# channels_last for a network that has 2D and 3D convolutions.
#
# Expected: `network.to(memory_format=torch.channels_last)` converts the 4-dimensional parameters, as the documentation of
#   `Module.to` says, and leaves the others as they are; or it refuses, and nothing has changed.
# What happens: the first 5-dimensional weight raises "required rank 4 tensor to use channels_last format". By then, all
#   layers before it have been converted, so the network is half in one layout, half in the other. channels_last_3d fails
#   in the same way at the first 4-dimensional weight.
# Why it matters: networks for video mix both kinds, such as a ResNet with 3D convolutions in some stages. Code that tries
#   channels_last and goes on after the error keeps a network that is half converted.
# Instead: convert each module by itself, by the number of dimensions of its weight.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import sys

import torch
from torch import nn


def layouts(network):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return [
        "channels last" if weight.is_contiguous(memory_format=formats[weight.dim()]) else "contiguous"
        for weight in network.parameters()
    ]


def attempt(memory_format):
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, bias=False), nn.Conv3d(8, 8, 3, bias=False), nn.Conv2d(8, 4, 3, bias=False)
    )
    try:
        network.to(memory_format=memory_format)
        return "done", layouts(network)
    except RuntimeError as error:
        return str(error), layouts(network)


print(f"torch {torch.__version__}")
found = {}
for memory_format in (torch.channels_last, torch.channels_last_3d):
    found[str(memory_format)] = attempt(memory_format)
    said, after = found[str(memory_format)]
    print(f"{memory_format}: {said}; afterwards Conv2d, Conv3d, Conv2d are {', '.join(after)}")

expected = {
    "torch.channels_last": (
        "required rank 4 tensor to use channels_last format",
        ["channels last", "contiguous", "contiguous"],
    ),
    "torch.channels_last_3d": (
        "required rank 5 tensor to use channels_last_3d format",
        ["contiguous", "contiguous", "contiguous"],
    ),
}
if found != expected:
    sys.exit(f"the behaviour has changed: {found}")
EOF

"""The values of flags of the export tools. Imports nothing heavy."""

import os

TARGETS = ("ours", "published", "mmaction2", "safetensors", "hf")
"""The dialects and formats that tools/convert_checkpoint.py can write."""


def turn_off_statistics() -> None:
    """Keep NNCF from sending statistics on its use over the network; to be called before it is imported."""
    os.environ.setdefault("NNCF_CI", "1")

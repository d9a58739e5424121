"""The values that flags of the export tools take: nothing heavy is imported here."""

TARGETS = ("ours", "published", "mmaction2", "safetensors")
"""Dialects and formats that tools/convert_checkpoint.py writes."""

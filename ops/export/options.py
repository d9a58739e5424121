"""The values of flags of the export tools. Imports nothing heavy."""

TARGETS = ("ours", "published", "mmaction2", "safetensors")
"""The dialects and formats that tools/convert_checkpoint.py can write."""

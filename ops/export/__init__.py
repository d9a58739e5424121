"""Exporting checkpoints for other programs (ONNX, MMAction2, safetensors), and describing them."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.export.checkpoint_info import checkpoint_facts as checkpoint_facts
    from ops.export.checkpoint_info import describe_facts as describe_facts
    from ops.export.convert import Classes as Classes
    from ops.export.convert import convert_checkpoint as convert_checkpoint
    from ops.export.onnx_export import export_onnx as export_onnx

__getattr__ = lazy_names(
    __name__,
    {
        "checkpoint_facts": "checkpoint_info",
        "describe_facts": "checkpoint_info",
        "Classes": "convert",
        "convert_checkpoint": "convert",
        "export_onnx": "onnx_export",
    },
)

"""Checkpoints in other formats: ONNX, MMAction2, safetensors."""

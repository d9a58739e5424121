"""Predict a video with a model written by tools/export.py, using only onnxruntime, PyAV, Pillow and NumPy.

python examples/onnx_predict.py tanet.onnx video.mp4
"""

import json
import struct
import sys

import av
import numpy as np
import onnxruntime
from PIL import Image


def upright(image, frame):
    """An image rotated and mirrored according to its display matrix."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20]) if matrix else (1, 0, 0, 0, 1)
    if a * d == b * c:  # an invalid matrix
        return image
    if abs(b * c) > abs(a * d):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: (1 if d > 0 else -1), :: (1 if a > 0 else -1)]


try:
    model, video = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    segments, short, side, modality = (facts[key] for key in ("num_segments", "scale_size", "input_size", "modality"))
    count = sum(1 for _ in av.open(video).decode(video=0))
except KeyError as error:
    sys.exit(f"error: {model} has no {error} in its metadata: use a model written by tools/export.py")
except Exception as error:  # the two libraries raise errors of many types
    sys.exit(f"error: {' '.join(str(error).split())}")
if not count or modality != "RGB":
    sys.exit(f"error: {video} has {count} RGB frames, but {model} takes {segments} of {modality}")

# Sampling: the middle of each of T equal parts, or a window of 64 frames in the middle of the video.
dense = facts["sampling"] == "dense"
first, step = (max(count - 63, 1) // 2, 64 // segments) if dense else (count / segments / 2, count / segments)
wanted = [int(first + step * t) % count for t in range(segments)]

images = {}  # upright, with the short side resized, and cropped to the centre
for index, frame in enumerate(av.open(video).decode(video=0)):
    if index in wanted:
        h, w = (int(short * length / min(frame.height, frame.width)) for length in (frame.height, frame.width))
        top, left = round((h - side) / 2), round((w - side) / 2)
        image = np.asarray(frame.to_image().resize((w, h), Image.Resampling.BILINEAR))
        images[index] = upright(image[top : top + side, left : left + side], frame)

clips = np.stack([images[index] for index in wanted])[None].transpose(0, 1, 4, 2, 3)  # [1, T, 3, H, W]
logits = session.run(None, {"clips": clips})[0][0]
shares = np.exp(logits - logits.max())
shares = 1 / (1 + np.exp(-logits)) if facts.get("multi_label") else shares / shares.sum()
for k in np.argsort(-shares)[:5]:
    print(f"{shares[k]:.4f}  {(facts['class_names'] or range(len(shares)))[k]}")

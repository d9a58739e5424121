"""What happens in a video, by a model that tools/export.py wrote: onnxruntime, PyAV and NumPy, and nothing else.

python examples/onnx_predict.py tanet.onnx video.mp4
"""

import json
import sys

import av
import numpy as np
import onnxruntime

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    count = sum(1 for _ in av.open(sys.argv[2]).decode(video=0))
except Exception as error:  # whatever the two say of files that are none of theirs
    sys.exit(f"error: {error}")
if not count:
    sys.exit(f"error: {sys.argv[2]}: no frames in it")
facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
if facts["modality"] != "RGB":
    sys.exit(f"{sys.argv[1]}: takes optical flow, not videos")
segments, short, side = facts["num_segments"], facts["scale_size"], facts["input_size"]

# Which frames: the middle of each of T equal parts, or a window of 64 in the middle of the video.
wanted = [int(count / segments / 2 + count / segments * t) for t in range(segments)]
if facts["sampling"] == "dense":
    wanted = [(max(count - 63, 1) // 2 + 64 // segments * t) % count for t in range(segments)]

# Their pixels: the short side resized, the middle cut out, upright.
images = {}
for index, frame in enumerate(av.open(sys.argv[2]).decode(video=0)):
    if index in wanted:
        h, w = (int(short * length / min(frame.height, frame.width)) for length in (frame.height, frame.width))
        image = frame.to_ndarray(format="rgb24", width=w, height=h, interpolation="BILINEAR")
        top, left = round((h - side) / 2), round((w - side) / 2)
        images[index] = np.rot90(image[top : top + side, left : left + side], round(frame.rotation / 90))

clip = np.stack([images[index] for index in wanted])[None].transpose(0, 1, 4, 2, 3)  # [1, T, 3, H, W]
logits = session.run(None, {"clips": clip})[0][0]
shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
for k in np.argsort(-shares)[:5]:
    print(f"{shares[k]:.4f}  {facts['class_names'][k] if facts['class_names'] else k}")

#!/usr/bin/env bash
# Resizing inside an ONNX model: antialias=1 compared with Pillow (and torchvision, which agrees with Pillow).
#
# Expected: Resize with antialias=1 (opset 18) is Pillow's filter; "linear" is its BILINEAR, up to rounding.
# What happens: this is true inside the picture, but not along its border. By default the filter reaches beyond the
#   edge and counts edge pixels several times, where Pillow uses only existing pixels. With exclude_outside=1 the
#   results are equal up to one level of rounding. (Without antialias, the default, everything differs.) "cubic" also
#   needs cubic_coeff_a=-0.5; the default is -0.75.
# Why it matters: preprocessing is moved into the model to avoid such differences. From 256 to 60 pixels, the outer
#   rows and columns differ by up to 8 levels, which a check of the mean error does not notice.
# Instead: antialias=1, exclude_outside=1, cubic_coeff_a=-0.5, and Resize on uint8 before the cast.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    onnx==1.22.0 onnxruntime==1.27.0 pillow==12.3.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import sys

import numpy as np
import onnx
import onnxruntime
import PIL
from onnx import TensorProto, helper
from PIL import Image, ImageFilter


def resize(pixels, size, mode, antialias, exclude_outside):
    """The picture `[h, w, 3]` brought to `size` by an ONNX model of one node."""
    shapes = [1, 3, *pixels.shape[:2]], [1, 3, *size]
    attributes = {"cubic_coeff_a": -0.5, "exclude_outside": exclude_outside, "antialias": antialias}
    node = helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode=mode, **attributes)
    x, y = (helper.make_tensor_value_info(n, TensorProto.UINT8, s) for n, s in zip("xy", shapes, strict=True))
    graph = helper.make_graph([node], "resize", [x], [y], [helper.make_tensor("size", TensorProto.INT64, [4], shapes[1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": pixels.transpose(2, 0, 1)[None]})[0][0].transpose(1, 2, 0)


noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 340, 3), dtype=np.uint8))
blurred = np.asarray(noise.filter(ImageFilter.GaussianBlur(2))).astype(float)
picture = ((blurred - blurred.min()) * (255 / (blurred.max() - blurred.min()))).astype(np.uint8)

print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, pillow {PIL.__version__}")
print("largest difference from Pillow in levels, inside and in the outer two rows and columns")
failures = []
for size in ((112, 149), (60, 80), (24, 32)):
    for mode, method in (("linear", Image.Resampling.BILINEAR), ("cubic", Image.Resampling.BICUBIC)):
        expected = np.asarray(Image.fromarray(picture).resize(size[::-1], method)).astype(int)
        results = {}
        for antialias, exclude_outside in ((0, 0), (1, 0), (1, 1)):
            if mode == "cubic" and not antialias:
                continue  # not there for uint8
            error = np.abs(resize(picture, size, mode, antialias, exclude_outside) - expected)
            inside = int(error[2:-2, 2:-2].max())
            error[2:-2, 2:-2] = 0
            results[antialias, exclude_outside] = inside, int(error.max())
            print(f"    256 x 340 -> {size[0]:3} x {size[1]:3} {mode:<6} antialias={antialias}", end=" ")
            print(f"exclude_outside={exclude_outside}: inside {inside}, border {int(error.max())}")
        failures.append(max(results[1, 1]) > 1 or results[1, 0][0] > 1 or results[1, 0][1] < 2)
sys.exit("the behaviour has changed" if any(failures) else 0)
EOF

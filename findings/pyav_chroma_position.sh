#!/usr/bin/env bash
# Colours of frames that PyAV scales or converts, before and since version 17.
#
# Expected: the same frame of the same file, converted to RGB in the same way, has the same pixels in every version.
# What happens: the decoder says that chroma of H.264 and MPEG-4 lies at the left pixel of each pair. Up to PyAV 16.1
#   (libswscale 9.1), conversions ignore this; since 17 (libswscale 9.5) they heed it, but only where they scale or where
#   samples have more than 8 bits. At edges between colours, 50 levels and more change, 10 on average over coloured
#   stripes. Conversions of 8-bit frames at full size stay as they were, so that colours now move by a fraction of a pixel
#   between a frame that is resized by `reformat(width, height)` and one that is converted first and resized afterwards,
#   and between an 8-bit and a 10-bit copy of a film. VP9, which states no position, has not changed.
# Why it matters: models see other colours than those they were trained with after an update of PyAV, most of all in small
#   frames, and stored features or reference pixels are no longer reproduced. Nothing is printed.
# Instead: pin PyAV for a dataset, or convert at full size in 8 bits, and resize the RGB frame.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 16.1.0 17.1.0 18.1.0; do
    "${PYTHON:-python3}" -m venv "$work/$version"
    "$work/$version/bin/python" -m pip install --quiet --disable-pip-version-check av==$version numpy==2.4.6
done
cd "$work"
cat > frames.py <<'EOF'
import sys
from fractions import Fraction

import av
import numpy as np

FILMS = {"h264": ("libx264", "yuv420p"), "h264_10bit": ("libx264", "yuv420p10le"), "mpeg4": ("mpeg4", "yuv420p"),
         "vp9": ("libvpx-vp9", "yuv420p")}


def write(path, codec, pix_fmt):
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[..., 0] = np.arange(160) // 8 % 2 * 255  # red and blue
    stripes[..., 2] = 255 - stripes[..., 0]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options={} if codec == "mpeg4" else {"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, pix_fmt
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(stripes, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


scaler = ".".join(map(str, av.library_versions["libswscale"]))
print(f"av {av.__version__}, libswscale {scaler}")
pixels = {}
for name, (codec, pix_fmt) in FILMS.items():
    if sys.argv[1:] == ["write"]:
        write(f"{name}.mkv", codec, pix_fmt)
    with av.open(f"{name}.mkv") as container:
        *_, frame = container.decode(video=0)
    pixels[f"{name}, full size"] = frame.to_ndarray(format="rgb24")
    pixels[f"{name}, scaled"] = frame.reformat(width=112, height=84, format="rgb24").to_ndarray()
np.savez(f"{av.__version__}.npz", **pixels)
EOF
16.1.0/bin/python frames.py write
17.1.0/bin/python frames.py
18.1.0/bin/python frames.py
18.1.0/bin/python - <<'EOF'
import sys

import numpy as np

old, new, newest = (np.load(f"{version}.npz") for version in ("16.1.0", "17.1.0", "18.1.0"))
ok = True
for name in old.files:
    gap = np.abs(old[name].astype(int) - new[name])
    print(f"{name}: 16.1 and 17.1 differ by {gap.max()} levels at most, {gap.mean():.1f} on average; "
          f"17.1 and 18.1 by {np.abs(new[name].astype(int) - newest[name]).max()}")
    changed = name in ("h264, scaled", "mpeg4, scaled", "h264_10bit, full size", "h264_10bit, scaled")
    ok &= (gap.max() > 20 and gap.mean() > 5) if changed else gap.max() == 0
    ok &= np.array_equal(new[name], newest[name])
sys.exit(0 if ok else "the behaviour has changed")
EOF

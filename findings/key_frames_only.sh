#!/usr/bin/env bash
# Decoding only key frames with PyAV: codec_context.skip_frame = "NONKEY".
#
# Expected: one frame for each packet that is a key frame, in the order in which they are shown.
# What happens: this depends on the codec, without any message. VP9 ignores the setting, so every frame is decoded and
#   returned. VP8, AV1, H.264 and HEVC behave as expected. For H.264 with open groups of pictures, the key frames come
#   backwards, the last one first; with intra refresh, some are missing.
# Why it matters: sampling key frames is a cheap way to read long films. On WebM (YouTube, browsers) it is not cheap
#   and gives 30 times as many frames; with open groups of pictures, clips run backwards.
# Instead: keep only frames with frame.key_frame, sort them by frame.pts, and compare their number with that of the
#   key packets.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
SVT_LOG=1 venv/bin/python - <<'EOF'
import sys

import av
import numpy as np

COUNT = 90
FILMS = {
    "H.264": ("film.mp4", "libx264", {"x264-params": "keyint=30:scenecut=0"}),
    "H.264, open groups": ("film.mp4", "libx264", {"x264-params": "keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0"}),
    "H.264, intra refresh": ("film.mp4", "libx264", {"x264-params": "keyint=30:intra-refresh=1:bframes=0"}),
    "HEVC": ("film.mp4", "libx265", {"x265-params": "keyint=30:min-keyint=30:open-gop=0:log-level=none"}),
    "VP8": ("film.webm", "libvpx", {"g": "30"}),
    "VP9": ("film.webm", "libvpx-vp9", {"g": "30"}),
    "AV1": ("film.webm", "libsvtav1", {"g": "30"}),
}


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


print(f"av {av.__version__}, FFmpeg's libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}")
found = {}
for name, (path, codec, options) in FILMS.items():
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    with av.open(path) as container:
        container.streams.video[0].codec_context.skip_frame = "NONKEY"
        found[name] = [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    numbers = found[name]
    print(f"    {name:<21} {keys} key packets, {len(numbers)} frames: {numbers[:5]}{' ...' if len(numbers) > 5 else ''}")

usual = all(found[name] == [0, 30, 60] for name in ("H.264", "HEVC", "VP8", "AV1"))
backwards = found["H.264, open groups"] == [60, 30, 0]
if not usual or not backwards or found["VP9"] != list(range(COUNT)) or len(found["H.264, intra refresh"]) >= 3:
    sys.exit("the behaviour has changed")
EOF

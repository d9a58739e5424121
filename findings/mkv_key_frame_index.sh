#!/usr/bin/env bash
# The list of key frames in the index of a Matroska or WebM file, read without reading packets.
#
# Expected: PyAV's `stream.index_entries` lists the entries of the container's index as soon as the file is open. For
#   MP4 it has every packet with time, size and key flag, so the key frames of a film of hours are known in
#   milliseconds.
# What happens: for MKV and WebM it has one entry, the first key frame, although the file has an index of all of them
#   (Cues). FFmpeg reads the Cues at the first seek: after any seek, even to 0, all key frames are listed. Reading all
#   packets without a seek does not load the index; it lists only the key frames that were passed.
#   Besides, packets after a seek differ from those of a read from the start: with B-frames, the first ones have no
#   decode time (`packet.dts` is None), so a packet cannot be recognised by the pair (pts, dts).
# Why it matters: videos of Something-Something and YouTube are WebM. Code that selects key frames by this list finds
#   one per video, treats the video as one group of pictures, and decodes it from the start for every clip, without an
#   error.
# Instead: seek once before reading the list, and recognise packets by pts alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import sys

import av
import numpy as np

COUNT, GOP = 120, 12


def write(path, codec):
    with av.open(path, "w") as container:
        options = {"bf": "2", "sc_threshold": "0"} if codec == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", GOP
        for number in range(COUNT):
            picture = np.full((48, 64, 3), number * 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def keys(stream):
    return sum(entry.is_keyframe for entry in stream.index_entries)


print(f"av {av.__version__}, libavformat {'.'.join(map(str, av.library_versions['libavformat']))}")
found = {}
for path, codec in (("film.mp4", "libx264"), ("film.mkv", "libx264"), ("film.webm", "libvpx-vp9")):
    write(path, codec)
    with av.open(path) as container:
        stream = container.streams.video[0]
        opened = keys(stream)
        container.seek(0, stream=stream)
        sought = keys(stream)
    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        read = sum(packet.is_keyframe for packet in packets)
        target = next(number for number in range(COUNT // 2, COUNT) if packets[number].is_keyframe)
        container.seek(packets[target].pts, stream=stream)
        after = next(container.demux(stream))
    same = after.pts == packets[target].pts
    found[path] = opened, sought == read == COUNT // GOP, same, after.dts == packets[target].dts
    print(f"{path:<10} key frames: {read} in the file, {opened} listed when opened, {sought} after a seek to 0; packet "
          f"{target}: pts, dts {packets[target].pts}, {packets[target].dts} in sequence, {after.pts}, {after.dts} after a seek")

expected = {
    "film.mp4": (COUNT // GOP, True, True, True),
    "film.mkv": (1, True, True, False),
    "film.webm": (1, True, True, True),
}
if found != expected:
    sys.exit(f"the behaviour has changed: {found}")
EOF

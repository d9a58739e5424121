"""Tiny real media for tests, generated when needed: videos, frame folders, and ways of damaging them.

Sizes are `(height, width)`, as everywhere in the project. The content depends only on the seed and the frame's
number: coloured shapes that move a little from frame to frame over a still background.
"""

import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
SHAPES = 3
X265_ALONE = "log-level=none:pools=none:frame-threads=1"  # x265 starts its own threads, even if thread_count is 1


def schedule_as_usual() -> None:
    """Undo the real-time priority that the AV1 encoder (libsvtav1) gives its caller if it has the permission.

    A process with this priority, and every process that it starts, would starve all others.
    """
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def draw(index: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Pixels:
    """Draw frame `index` of the video with this `seed`: RGB `[h, w, 3]`."""
    height, width = size
    rng = np.random.default_rng(seed)
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    canvas = ImageDraw.Draw(image)
    for shape in range(SHAPES):
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        start, speed = rng.random(2), 0.02 + 0.08 * rng.random(2)
        x, y = (start + index * speed) % 1 * (width, height)
        box = (x, y, x + 0.4 * width, y + 0.4 * height)
        (canvas.ellipse if shape % 2 else canvas.rectangle)(box, fill=colour)
    return np.array(image)


def write_video(
    path: Path,
    count: int = 12,
    size: tuple[int, int] = (48, 64),
    fps: int = 25,
    codec: str = "libx264",
    gop: int = 12,
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    seed: int = 0,
    b_frames: int = 0,
    frames: Sequence[Pixels] | None = None,
    **settings: Any,
) -> Path:
    """Write a video of `count` drawn frames (or of `frames`) in the container given by the suffix of the path.

    The index of an mp4 is at its start, so that a truncated file still opens. `rotation` is written into the metadata;
    `settings` are attributes of the encoder's context.
    """
    pictures = frames if frames is not None else [draw(index, size, seed) for index in range(count)]
    mp4 = path.suffix in (".mp4", ".mov")
    with av.open(os.fspath(path), "w", container_options={"movflags": "faststart"} if mp4 else {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)  # its type depends on the name of the codec
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = gop, b_frames, 1
        context.time_base = Fraction(1, fps)
        # Key frames come only from `gop`, not from scene changes. x264's macroblock tree is off, because with it the
        # bytes differ once in a hundred encodes of the same frames.
        context.options = {"sc_threshold": "0", "x264-params": "mbtree=0", "x265-params": X265_ALONE}
        for name, value in settings.items():
            setattr(context, name, value)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    schedule_as_usual()
    if rotation:
        rotate(path, rotation)
    return path


def remux(source: Path, target: Path, edit: Callable[[int, bytes], list[bytes]]) -> Path:
    """Copy the packets of a video into another file, with times in decoding order.

    `edit(number, data)` returns the packets that replace packet `number`.
    """
    with av.open(os.fspath(source)) as read, av.open(os.fspath(target), "w") as written:
        stream = read.streams.video[0]
        copy: Any = written.add_stream_from_template(stream)
        time, step = 0, int(1 / (stream.average_rate or 25) / (stream.time_base or 1))
        for number, packet in enumerate(packet for packet in read.demux(stream) if packet.size):
            for part, data in enumerate(edit(number, bytes(packet))):
                made = av.Packet(data)
                made.pts, made.dts, made.time_base, made.stream = time, time, stream.time_base, copy
                made.duration, made.is_keyframe = step, packet.is_keyframe and not part
                time += step
                written.mux(made)
    return target


def write_irregular(path: Path, times: list[int]) -> Path:
    """Write a video whose frames are shown at `times`, in milliseconds."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_mistimed(path: Path) -> Path:
    """Write 62 frames of H.264 with B-frames at 25 per second to a container with decoding times only (avi, asf, mpg).

    A .ts file consists of two joined halves, so that its times restart in the middle.
    """
    parts = 2 if path.suffix == ".ts" else 1
    write_video(path, 62 // parts, b_frames=2)
    path.write_bytes(parts * path.read_bytes())
    return path


def write_audio(path: Path, seconds: float = 0.2) -> Path:
    """Write a file with sound and no video."""
    rate = 16000
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        tone = np.sin(np.arange(int(seconds * rate)) / 9).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_frames(
    folder: Path,
    count: int = 12,
    template: str = "img_{index:05d}.png",
    size: tuple[int, int] = (48, 64),
    first: int = 1,
    seed: int = 0,
) -> Path:
    """Write a folder of `count` images, named by `template` and numbered from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(draw(index, size, seed)).save(folder / template.format(index=first + index))
    return folder


def write_flow(
    folder: Path,
    count: int = 12,
    template: str = "flow_{axis}_{index:05d}.png",
    size: tuple[int, int] = (48, 64),
    first: int = 1,
    seed: int = 0,
) -> Path:
    """Write a folder of optical flow with images for x and y, or with one image for both if `template` has no `{axis}`.

    x is the red channel of `draw`, and y the green channel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture = draw(index, size, seed)
        for channel, axis in enumerate(("x", "y") if "{axis" in template else ("",)):
            pixels = picture[:, :, channel] if axis else picture
            Image.fromarray(pixels).save(folder / template.format(index=first + index, axis=axis))
    return folder


def truncate(path: Path, share: float) -> Path:
    """Keep the first fraction `share` of the file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def corrupt(path: Path, start: float = 0.45, stop: float = 0.55, seed: int = 0) -> Path:
    """Overwrite the bytes between two fractions of the file with noise."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    data[first:last] = np.random.default_rng(seed).bytes(last - first)
    path.write_bytes(data)
    return path


def rotate(path: Path, degrees: int) -> Path:
    """Set the metadata of an mp4 so that it is shown rotated clockwise by 90, 180 or 270 degrees."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    return set_matrix(path, (cosine, sine, -sine, cosine))


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Set the display matrix (a, b, c, d) of an mp4: it shows x at a·x + c·y, and y at b·x + d·y."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    place = header + (52 if data[header] else 40)  # times have 64 bits in version 1
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path

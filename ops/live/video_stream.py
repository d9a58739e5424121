"""Files and RTSP streams as cameras, decoded by PyAV: frames have the same pixels as in a test of the same file."""

import re
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import av
from av.video.frame import VideoFrame

from ops.common.errors import InputError, MediaError, RunStoppedError
from ops.data.containers import checked_path, open_container
from ops.data.frame_converter import FrameConverter
from ops.live.camera import Camera, CapturedFrame, believed_rate

TIMEOUT = 10.0
"""Seconds without data after which a network camera counts as gone."""

MAX_LAG = 0.5
"""Seconds that decoding may be late; then it continues at the next key frame that is not late."""

MAX_GAP = 10.0
"""Seconds between two frames; a longer time is a jump of the stream's clock and is not waited for."""

USUAL_STEP = 1 / 25
"""Seconds between two frames, if a stream has neither times nor a frame rate."""

_RTSP = {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,tls,udp,crypto", "fflags": "nobuffer"}


def open_file(path: str, speed: float) -> "VideoStream":
    """The video file at `path` as a camera; MediaError if it cannot be read."""
    return VideoStream(checked_path(path), open_container(path), Playback(speed))


def open_rtsp(address: str) -> "VideoStream":
    """The stream at an rtsp:// address; InputError if it cannot be opened."""
    name = re.sub(r"//[^/]*@", "//", address)  # without user and password, in which FFmpeg allows another @
    try:
        container = av.open(address, options=_RTSP, timeout=(TIMEOUT, TIMEOUT))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{name}: the stream cannot be opened ({_reason(error)})") from None
    if not container.streams.video or container.streams.video[0].codec_context is None:
        container.close()
        raise InputError(f"{name}: the stream has no video that can be decoded")
    return VideoStream(name, container, Arrival())


class Playback:
    """The clock of a file, whose frames appear at `speed` times their own speed."""

    is_live = False

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._start = speed, time.monotonic()
        self._begun = False

    def due(self, seconds: float) -> float:
        """When the frame at `seconds` of the file is shown, by `time.monotonic`."""
        if not self._begun:
            self._start, self._begun = time.monotonic() - seconds / self._speed, True
        return self._start + seconds / self._speed

    def lag(self, seconds: float) -> float:
        """By how many seconds a packet with the time `seconds` is late."""
        return time.monotonic() - self.due(seconds)


class Arrival:
    """The clock of a network camera: frames appear as they arrive. Its own clock may drift against ours."""

    is_live = True
    PERIOD = 10.0

    def __init__(self) -> None:
        self._least: deque[tuple[float, float]] = deque(maxlen=2)  # start of a period, smallest delay in it

    def due(self, seconds: float) -> float:
        """Now, because the time that the frame took to arrive is not known."""
        return time.monotonic()

    def lag(self, seconds: float) -> float:
        """By how many seconds a packet is later than the fastest one of the last periods."""
        now = time.monotonic()
        delay = now - seconds
        if not self._least or now > self._least[-1][0] + self.PERIOD:
            self._least.append((now, delay))
        start, least = self._least[-1]
        self._least[-1] = start, min(least, delay)
        return delay - min(least for _, least in self._least)


class VideoStream(Camera):
    """A container of PyAV and the clock by which its frames appear."""

    def __init__(self, name: str, container: Any, clock: "Playback | Arrival") -> None:
        self.name, self._container, self._clock = name, container, clock
        self._stream = container.streams.video[0]
        self._converter = FrameConverter(name)
        self.rate = believed_rate(self._stream.average_rate)
        self._step = 1 / self.rate if self.rate else USUAL_STEP
        self._base: float | None = None  # the time in the stream that counts as 0
        self._last = -self._step
        self._skips = False

    def frames(self, stop: Event) -> Iterator[CapturedFrame]:
        """See `Camera.frames`."""
        count = 0
        for packet in self._packets():
            if stop.is_set():
                return
            if packet is not None and self._must_skip(packet):
                self.lost += 1
                continue
            for frame in self._decoded(packet):
                seconds = self._seconds(frame)
                due = self._clock.due(seconds)
                if stop.wait(max(due - time.monotonic(), 0)):
                    return
                count += 1
                yield CapturedFrame(seconds, due, partial(self._converter.image, frame))
        if self._clock.is_live:
            raise RunStoppedError(f"{self.name}: the camera has stopped sending: is it still connected?")
        if not count:
            raise MediaError(self.name, "none of its frames can be decoded")

    def close(self) -> None:
        """See `Camera.close`."""
        self._container.close()

    def _packets(self) -> Iterator[Any]:
        """The packets, and None at the end."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError, IndexError):  # IndexError: a stream that is not in the header
                break
            if packet.size:
                yield packet
        yield None

    def _must_skip(self, packet: Any) -> bool:
        """Whether to skip this packet because decoding is late; then all packets up to a key frame are skipped."""
        if packet.pts is None or self._base is None:
            return False
        late = self._clock.lag(float(packet.pts * packet.time_base) - self._base) > MAX_LAG
        if not self._skips and late:
            self._skips = True
        elif self._skips and packet.is_keyframe and not late:
            self._stream.codec_context.flush_buffers()
            self._skips = False
        return self._skips

    def _decoded(self, packet: Any) -> list[VideoFrame]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            self.lost += 1
            return []
        return [frame for frame in frames if isinstance(frame, VideoFrame)]

    def _seconds(self, frame: VideoFrame) -> float:
        """The time of a frame since the first one; if the stream's clock jumps, time continues after the last frame."""
        if frame.pts is None or frame.time_base is None:
            self._last += self._step
            return self._last
        time_there = float(frame.pts * frame.time_base)
        if self._base is None:
            self._base = time_there
        if not 0 <= time_there - self._base - self._last <= MAX_GAP and self._last >= 0:
            self._base = time_there - self._last - self._step
        self._last = time_there - self._base
        return self._last


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

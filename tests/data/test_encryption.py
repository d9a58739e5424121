"""Encrypted videos are reported as such before decoding, by every tool and in every container that marks encryption."""

import re
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from conftest import Call
from small_runs import save_weights

from ops.common.errors import MediaError
from ops.data.containers import open_container
from ops.data.encryption import is_encrypted
from ops.data.opencv_videos import OpenCVReader
from ops.data.videos import header_count, open_video

KEY = bytes(range(16)).hex()
SAYS = "the video is encrypted (DRM) and cannot be decoded: use an unencrypted copy"


def common_encryption(path: Path, codec: str, **options: str) -> Path:
    """Write an MP4 whose packets FFmpeg encrypts according to `options`, or an unencrypted one without options."""
    plain = media.write_video(path.with_name(f"plain_{path.name}"), 12, codec=codec)
    with av.open(str(plain)) as read, av.open(str(path), "w", options=options) as written:
        stream = read.streams.video[0]
        copy: Any = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copy
                written.mux(packet)
    plain.unlink()
    return path


def cenc(codec: str) -> Callable[[Path], Path]:
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY}
    return lambda folder: common_encryption(folder / "x.mp4", codec, **options)


def sample_entry(kind: bytes) -> Callable[[Path], Path]:
    """Return a function that writes an MP4 with sample entry type `kind`, as in files that do not name their codec."""

    def make(folder: Path) -> Path:
        path = media.write_video(folder / "x.mp4", 12)
        path.write_bytes(path.read_bytes().replace(b"avc1", kind))
        return path

    return make


def element(name: bytes, content: bytes) -> bytes:
    return name + bytes([0x80 | len(content)]) + content


def matroska(folder: Path) -> Path:
    """Write an MKV in which the track name is overwritten by an encryption header (RFC 9559, section 5.1.4.1.31)."""
    title = b"T" * 100
    with av.open(str(media.write_video(folder / "y.mp4", 12))) as read, av.open(str(folder / "x.mkv"), "w") as written:
        stream = read.streams.video[0]
        copy: Any = written.add_stream_from_template(stream)
        copy.metadata["title"] = title.decode()
        for packet in (packet for packet in read.demux(stream) if packet.size):
            packet.stream = copy
            written.mux(packet)
    (folder / "y.mp4").unlink()
    key = element(b"\x47\xe1", b"\5") + element(b"\x47\xe2", bytes.fromhex(KEY))
    parts = b"".join(element(b"\x50" + name, value) for name, value in ((b"1", b"\0"), (b"2", b"\1"), (b"3", b"\1")))
    encodings = element(b"\x6d\x80", element(b"\x62\x40", parts + element(b"\x50\x35", key)))
    name = element(b"\x53\x6e", title)
    data = (folder / "x.mkv").read_bytes()
    assert data.count(name) == 1
    filled = encodings + element(b"\xec", bytes(len(name) - len(encodings) - 2))
    (folder / "x.mkv").write_bytes(data.replace(name, filled))
    return folder / "x.mkv"


def windows_media(folder: Path) -> Path:
    """Write an ASF file with a Content Encryption Object in its header."""
    path = media.write_video(folder / "x.asf", 12)
    data = path.read_bytes()
    size, count = struct.unpack_from("<QI", data, 16)
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"secret", b"DRM\0", b"KEY\0", b"URL\0"))
    name = uuid.UUID("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E").bytes_le
    added = name + struct.pack("<Q", 24 + len(texts)) + texts
    header = data[:16] + struct.pack("<QI", size + len(added), count + 1) + data[28:size]
    path.write_bytes(header + added + data[size:])
    return path


def scrambled(folder: Path) -> Path:
    """Write a transport stream as in encrypted broadcasts: video payloads are scrambled, and packets are marked so."""
    path = media.write_video(folder / "x.ts", 12)
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), 188):
        if int.from_bytes(data[place + 1 : place + 3], "big") & 0x1FFF == 0x100:
            start = place + (5 + data[place + 4] if data[place + 3] & 0x20 else 4)
            data[start : place + 188] = bytes(byte ^ 0x5A for byte in data[start : place + 188])
            data[place + 3] |= 0x80
    path.write_bytes(data)
    return path


def sample_aes(folder: Path) -> Path:
    """Write a transport stream as with HLS SAMPLE-AES: the program map has another stream type for H.264."""
    path = media.write_video(folder / "x.ts", 12)
    data = bytearray(path.read_bytes())
    for start in range(0, len(data), 188):
        if data[start + 1] & 0x40 and data[start + 4 : start + 6] == b"\0\2":  # the program map table
            table = slice(start + 5, start + 8 + (data[start + 6] & 0xF) * 256 + data[start + 7] - 4)
            place = data.index(b"\x1b\xe1\x00", table.start, table.stop)
            data[place] = 0xDB
            data[table.stop : table.stop + 4] = mpeg_crc(bytes(data[table])).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def mpeg_crc(data: bytes) -> int:
    """Compute the checksum of tables in transport streams (ISO/IEC 13818-1, annex A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def dvd(path: Path, codes: bytes = b"\xe0", **sound: bool) -> Path:
    """Write a program stream in which the packets of the streams `codes` are marked as scrambled, as on a DVD."""
    write_film(path, "mpeg2video", "mp2") if sound else media.write_video(path, 12, codec="mpeg2video")
    data = bytearray(path.read_bytes())
    for code in codes:
        for found in re.finditer(b"\0\0\1" + bytes([code]), bytes(data)):
            data[found.end() + 2] |= 0x30
            start, length = found.end() + 2, int.from_bytes(data[found.end() : found.end() + 2], "big")
            for place in range(start + 128, start + length):  # the beginning of a sector is not scrambled
                data[place] ^= 0x5A
    path.write_bytes(data)
    return path


def write_film(path: Path, video: str, audio: str) -> Path:
    """Write twelve pictures and half a second of sound."""
    rate = 48000
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(video, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        sound: Any = container.add_stream(audio, rate=rate, layout="mono")
        for index in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(media.draw(index), format="rgb24")))
        tone = (np.sin(np.arange(rate // 2) / 9) * 9000)[None]
        planar = sound.codec_context.format.name == "fltp"
        frame = av.AudioFrame.from_ndarray(
            (tone / 32768).astype(np.float32) if planar else tone.astype(np.int16),
            format="fltp" if planar else "s16", layout="mono",
        )  # fmt: skip
        frame.sample_rate = rate
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(stream.encode(None))
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "cenc H.264": cenc("libx264"),
    "cenc MPEG-4": cenc("mpeg4"),
    "cenc HEVC": cenc("libx265"),
    "encv": sample_entry(b"encv"),
    "drmi": sample_entry(b"drmi"),
    "mkv": matroska,
    "asf": windows_media,
    "ts": scrambled,
    "HLS": sample_aes,
    "vob": lambda folder: dvd(folder / "x.vob"),
    "mpg": lambda folder: dvd(folder / "x.vob").rename(folder / "x.mpg"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_encrypted_video_is_refused_as_such(kind: str, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    for read in (header_count, lambda path: open_video(path).__enter__(), lambda path: opened_by_opencv(path)):
        with pytest.raises(MediaError) as error:
            read(path)
        assert str(error.value) == f"{path}: {SAYS}"


def opened_by_opencv(path: Path) -> None:
    with OpenCVReader().open(str(path), -1):
        pass


def encrypted_sound(folder: Path, ending: str) -> Path:
    """Write a film in which only the sound is encrypted."""
    path = folder / f"x.{ending}"
    if ending == "mp4":
        data = write_film(path, "libx264", "aac").read_bytes()
        assert data.count(b"mp4a") == 1
        path.write_bytes(data.replace(b"mp4a", b"enca"))
    elif ending == "ts":
        data = bytearray(write_film(path, "libx264", "mp2").read_bytes())
        for start in range(0, len(data), 188):
            if int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF == 0x101:
                data[start + 3] |= 0x80
        path.write_bytes(data)
    else:
        dvd(path, b"\xc0", sound=True)
    return path


@pytest.mark.parametrize("ending", ["mp4", "ts", "vob"])
def test_a_video_in_clear_is_read_beside_encrypted_sound(ending: str, tmp_path: Path) -> None:
    path = encrypted_sound(tmp_path, ending)
    with open_video(path) as source:
        assert len(source) == source.decodable() == 12


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.mp4", "libx264"),
        ("x.mov", "libx264"),
        ("x.mkv", "libx264"),
        ("x.asf", "libx264"),
        ("x.ts", "libx264"),
        ("x.vob", "mpeg2video"),
        ("x.mpg", "mpeg1video"),
    ],
)
def test_a_video_in_clear_is_read(name: str, codec: str, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / name, 12, codec=codec)
    with open_video(path) as source:
        assert len(source) == source.decodable() == 12


def test_only_the_sample_entry_of_the_video_counts(tmp_path: Path) -> None:
    """The codes `encv` and `drmi` may occur elsewhere in the file, such as in a title."""
    path = media.write_video(tmp_path / "x.mp4", 12)
    data = path.read_bytes()
    place = data.index(b"VideoHandler")
    path.write_bytes(data[:place] + b"encv and drmi"[:12] + data[place + 12 :])
    with open_video(path) as source:
        assert source.decodable() == 12
        container = open_container(str(path))
        for cut in range(0, len(data), 7):  # a file that is cut off anywhere raises nothing
            path.write_bytes(data[:cut].replace(b"mdia", b"encv"))
            assert not is_encrypted(container, str(path))
        container.close()


def test_every_tool_says_that_a_video_is_encrypted(tmp_path: Path, call: Call) -> None:
    clips = tmp_path / "clips"
    for name in ("a/good", "b/other"):
        (clips / name).parent.mkdir(parents=True)
        media.write_video(clips / f"{name}.mp4", 12)
    cenc("libx264")(clips / "a")
    bad = "a/x.mp4"
    (tmp_path / "l.txt").write_text(f"{bad} 12 0\na/good.mp4 12 0\nb/other.mp4 12 1\n")
    save_weights(tmp_path / "w.pth.tar")
    model = ("--weights", "w.pth.tar", "--device", "cpu", "--input_size", "32")
    tested = ("online_test_models.py", "custom", *model, "--test_list", "l.txt", "--root_path", "clips", "-j", "0")
    for decoder in ("pyav", "opencv"):
        done = call(*tested, "--decoder", decoder, "--output", decoder, status=1)
        assert f"not scored: {bad}: {SAYS}" in done.err and "2 scored, 1 failed" in done.out
    done = call("tools/predict.py", "clips", *model, status=1)
    assert f"not scored: clips/{bad}: {SAYS}" in done.err
    for windows in ((), ("--window", "8")):
        done = call("tools/predict.py", f"clips/{bad}", *model, *windows, status=2)
        assert done.err == f"error: clips/{bad}: {SAYS}\n"
    done = call("tools/explain.py", f"clips/{bad}", *model[:4], "--output", "explained", status=2)
    assert SAYS in done.err
    done = call("tools/check_dataset.py", "custom", "--test_list", "l.txt", "--root_path", "clips", "--num_class", 2,
                status=1)  # fmt: skip
    assert SAYS in done.out
    for verify in ("header", "packets"):
        call("tools/gen_labels.py", "folder", "--data", "clips", "--out", verify, "--verify", verify,
             "--val_fraction", 0, status=1)  # fmt: skip
        assert SAYS in (tmp_path / verify / "missing_train.txt").read_text()
        assert bad not in (tmp_path / verify / "train.txt").read_text()
    for tool in ("extract_frames", "resize_videos"):
        done = call(f"tools/{tool}.py", "clips", "-o", tool, status=1)
        assert SAYS in (tmp_path / tool / "report.csv").read_text(), done.out

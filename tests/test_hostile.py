"""Malicious and broken lists, checkpoints and videos are read or end in a clear error.

Each test runs fifty cases, or five hundred with `pytest -m fuzz`.
"""

import functools
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.common.errors import InputError, MediaError
from ops.common.tensor_files import load_tensors
from ops.data import containers, packet_scan, video_index
from ops.data.decoders import DECODERS
from ops.data.lists import read_records
from ops.data.videos import estimated_count, open_video
from ops.models.checkpoint import model_of, read_checkpoint
from ops.models.recognizer import build_model

Test = Callable[..., None]


def cases(**arguments: Any) -> Callable[[Test], tuple[Test, Test]]:
    """Return the same test twice: with a few fixed cases, and with many random ones."""

    def make(test: Test) -> tuple[Test, Test]:
        def again(**drawn: Any) -> None:  # a second function, because hypothesis marks the one that it is given
            test(**drawn)

        calm: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
        few = settings(max_examples=50, derandomize=True, **calm)(given(**arguments)(test))
        many = settings(max_examples=500, **calm)(given(**arguments)(again))
        return few, pytest.mark.fuzz(many)

    return make


def with_file(content: bytes, suffix: str, look: Callable[[Path], None]) -> None:
    """Write `content` and `look` at the file; the only allowed error is an InputError of one line that names it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            look(path)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), repr(error)


LINES = st.one_of(
    st.binary(max_size=60),
    st.from_regex(rb"[\x00-\xff]{0,12} ?-?[0-9]{0,12} ?-?[0-9]{0,12}[\r\n]?", fullmatch=True),
    st.sampled_from(
        [b"http://a/b.mp4 3 1", b"concat:a|b 3 1", b"a\0b 3 1", b"../../x 3 1", b"\xef\xbb\xbfa.mp4 3 1", b"a 3 1"]
    ),
)


def look_at_list(path: Path) -> None:
    for counts_in_pairs in (False, True):
        try:
            records = read_records(path, counts_in_pairs)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), repr(error)
            continue
        for record in records:
            assert record.path and not set("\0\n") & set(record.path) and not re.match(r"[a-z]+://", record.path)
            assert record.num_frames >= -1 and record.label >= -1


@cases(lines=st.lists(LINES, max_size=8), end=st.sampled_from([b"\n", b"\r\n", b""]))
def _lists(lines: list[bytes], end: bytes) -> None:
    with_file(end.join(lines), ".txt", look_at_list)


test_any_list_is_read_or_refused, test_many_more_lists = _lists


@functools.cache
def small_checkpoint() -> bytes:
    file = io.BytesIO()
    tensors = {"base_model.conv1.weight": torch.ones(2, 3, 1, 1), "new_fc.weight": torch.zeros(3, 2)}
    torch.save({"state_dict": tensors, "meta": {"class_names": ["a", "b"]}, "epoch": 3}, file)
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn, original: Callable[[], bytes]) -> bytes:
    """A file with some bytes changed, removed or inserted."""
    content = bytearray(original())
    for _ in range(draw(st.integers(1, 12))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0:
                content[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del content[place : place + draw(st.integers(1, 64))]
            case 2:
                content[place:place] = draw(st.binary(min_size=1, max_size=16))
            case _:
                del content[place + draw(st.integers(0, len(content))) :]
    return bytes(content)


def look_at_checkpoint(path: Path) -> None:
    loaded = load_tensors(path)
    assert not callable(loaded)
    read_checkpoint(path)


@cases(content=st.one_of(st.binary(max_size=200), damaged(small_checkpoint)))
def _checkpoints(content: bytes) -> None:
    with_file(content, ".pth.tar", look_at_checkpoint)


test_any_checkpoint_is_read_or_refused, test_many_more_checkpoints = _checkpoints


@functools.cache
def names_of_a_model() -> dict[str, torch.Size]:
    return {name: value.shape for name, value in build_model("resnet18", 3, 4).state_dict().items()}


@cases(
    dropped=st.sets(st.integers(0, 400), max_size=3),
    shapes=st.dictionaries(st.integers(0, 400), st.lists(st.integers(0, 4), max_size=4), max_size=3),
    extra=st.dictionaries(st.text(max_size=20), st.sampled_from([1, "x", None, torch.ones(2)]), max_size=2),
)
def _tensors(dropped: set[int], shapes: dict[int, list[int]], extra: dict[str, Any]) -> None:
    """Tensors of a model are loaded or refused if some of them are missing, unusual or of another shape."""
    names = names_of_a_model()
    state: dict[str, Any] = {
        name: torch.zeros(shapes.get(place, shape))
        for place, (name, shape) in enumerate(names.items())
        if place not in dropped
    }
    file = io.BytesIO()
    torch.save({"state_dict": state | extra}, file)
    with_file(file.getvalue(), ".pth.tar", lambda path: model_of(read_checkpoint(path)) and None)


@pytest.mark.parametrize("shape", [[], [3], [0, 4], [8, 0], [2, 2, 2]])
@pytest.mark.parametrize("name", ["new_fc.weight", "base_model.layer1.0.tam.G.0.weight", "base_model.conv1.weight"])
def test_tensors_of_impossible_shapes_are_refused(name: str, shape: list[int], tmp_path: Path) -> None:
    """Cases that the random tests have found."""
    state = {key: torch.zeros(shape if key == name else size) for key, size in names_of_a_model().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth.tar")
    with pytest.raises(InputError, match=r"w.pth.tar: (not a checkpoint|does not fit this model)"):
        model_of(read_checkpoint(tmp_path / "w.pth.tar"))


test_any_tensors_are_a_model_or_refused, test_many_more_tensors = _tensors


@functools.cache
def small_video(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return media.write_video(Path(folder) / f"a{suffix}", 10, gop=4, b_frames=1).read_bytes()


def look_at_video(path: Path) -> None:
    assert 0 <= estimated_count(path) <= packet_scan.MAX_PACKETS
    with open_video(path) as source:
        count = len(source)
        assert 0 < count <= 10_000
        for _, frame in source.frames(sorted({0, count // 2, count - 1})):
            assert frame.dtype == torch.uint8 and frame.shape[0] == 3


@cases(
    content=st.one_of(*(damaged(functools.partial(small_video, suffix)) for suffix in (".mp4", ".mkv", ".avi"))),
    suffix=st.sampled_from([".mp4", ".mkv", ".avi", ".m3u8", ""]),
)
def _videos(content: bytes, suffix: str) -> None:
    with_file(content, suffix, look_at_video)


test_any_video_is_read_or_refused, test_many_more_videos = _videos


TOO_MUCH: list[tuple[Any, str, float, str]] = [
    (containers, "MAX_PIXELS", 48 * 64 - 1, "frames of 64 x 48, more than 3071 pixels each"),
    (video_index, "MAX_SECONDS", 0.2, "its times span 0 s, more than 0.2"),
    (packet_scan, "MAX_PACKETS", 11, "more than 11 frames; cut it into shorter videos"),
]


@pytest.mark.parametrize(
    ("decoder", "place", "name", "cap", "message"),
    [(decoder, *case) for decoder in DECODERS for case in TOO_MUCH],
)
def test_videos_with_excessive_sizes_or_lengths_are_refused(
    decoder: str, place: Any, name: str, cap: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(media.write_video(tmp_path / "a.mp4", 12, size=(48, 64)))
    reader = DECODERS[decoder]()
    monkeypatch.setattr(place, name, cap + 1)
    with reader.open(path, -1) as source:
        assert len(source.read([0, 11])) == 2
    monkeypatch.setattr(place, name, cap)
    monkeypatch.setattr(video_index, "MAX_PACKETS", packet_scan.MAX_PACKETS)
    with pytest.raises(MediaError, match=message), DECODERS[decoder]().open(path, -1):
        pass

"""Extracting frames gives the decoder's pixels, complete folders or none, reports bad files, and can be resumed."""

import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from conftest import Call

from ops.common.csv_tables import read_rows
from ops.common.errors import InputError, MediaError
from ops.common.string_array import hash_of
from ops.data.videos import open_video
from ops.prepare.extract_frames import FrameOptions, extract_video
from ops.prepare.image_folders import resize_image, write_image
from ops.prepare.options import Size, parse_size
from ops.prepare.output_paths import PARTIAL, check_names, image_folder, names_by, whole_folder

PNG = FrameOptions("png")
HARD_NAMES = ("--QUuC4vJs_000084_000095", "a b", 'it\'s "so"', "c#1;(x)", "日本", os.fsdecode(b"\xff\xfe"))


def images_in(folder: Path) -> list[np.ndarray]:
    names = sorted(path.name for path in folder.iterdir())
    assert [name.split(".")[0] for name in names] == [f"img_{index + 1:05d}" for index in range(len(names))]
    return [cv2.imdecode(np.fromfile(folder / name, np.uint8), cv2.IMREAD_COLOR) for name in names]


def report_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["video"]: row for row in read_rows(file)[1]}


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize(
    ("text", "size", "shape"),
    [
        ("40:30", Size(40, 30), (30, 40)),
        ("min=24", Size(short=24), (24, 32)),
        ("min=96", Size(short=96), (96, 128)),
    ],
)
def test_a_size_is_exact_or_a_short_side(text: str, size: Size, shape: tuple[int, int]) -> None:
    assert parse_size(text) == size
    assert resize_image(media.draw(0), size).shape == (*shape, 3)


@pytest.mark.parametrize(
    "text", ["", "40", "40:", "40x30", "-1:30", "min=", "min=0", "min=2.5", "max=4", "0:3", "min:3"]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="W:H or min=N"):
        parse_size(text)


@pytest.mark.parametrize(
    ("item", "flat", "nested"),
    [("a/b/c.mp4", "c", "a/b/c"), ("c.x.mp4", "c.x", "c.x"), ("-- -.webm", "-- -", "-- -")],
)
def test_a_folder_is_named_by_its_video(item: str, flat: str, nested: str) -> None:
    assert image_folder(item, keep_dirs=False) == flat
    assert image_folder(item, keep_dirs=True) == nested


@pytest.mark.parametrize(
    ("items", "keep_dirs", "message"),
    [
        (["a/x.mp4", "b/x.mp4"], False, "a/x.mp4 and b/x.mp4 would both become x; advice"),
        (["a/x.mp4", "a/x.avi"], True, "a/x.mp4 and a/x.avi would both become a/x; advice"),
        (["a.mp4", "a/b/x.mp4"], True, "a.mp4 would become a, but a/b/x.mp4 goes inside it; advice"),
        (["report.csv.mp4"], False, "report.csv.mp4 would become report.csv, which is the name of the report; advice"),
        (["a/x.mp4", "b/x.mp4", "x.mp4"], True, None),
        (["a.mp4", "a/b/x.mp4"], False, None),
    ],
)
def test_names_that_collide_are_refused(items: list[str], keep_dirs: bool, message: str | None) -> None:
    def name_of(item: str) -> str:
        return image_folder(item, keep_dirs)

    if message is None:
        check_names(items, name_of, "advice")
    else:
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            check_names(items, name_of, "advice")


@pytest.mark.parametrize(
    ("template", "name", "fits"),
    [
        ("img_{index:05d}.png", "img_00001.jpg", True),
        ("img_{index:05d}.png", "img_100000.png", True),
        ("img_{index:05d}.png", "notes.txt", False),
        ("img_{index:05d}.png", "my img_00001.jpg", False),
        ("flow_{axis}_{index:05d}.jpg", "flow_y_00003.jpg", True),
        ("{video:06d}-{axis}_{index:05d}.jpg", "000012-x_00003.jpg", True),
        ("{index:06d}.jpg", "x00003.jpg", False),
    ],
)
def test_files_of_a_template_are_known(template: str, name: str, fits: bool) -> None:
    assert bool(names_by(template).fullmatch(name)) == fits


def test_a_folder_is_complete_or_absent_and_replaces_no_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(str(tmp_path), "a/x", PNG.template) as folder:
        (Path(folder) / "img_00001.png").touch()
        raise RuntimeError
    assert not (tmp_path / "a").exists()
    assert not any((tmp_path / PARTIAL).iterdir())
    for number in (1, 2):
        with whole_folder(str(tmp_path), "a/x", PNG.template) as folder:
            write_image(f"{folder}/img_0000{number}.png", np.zeros((2, 2), np.uint8), 95)
    assert [path.name for path in (tmp_path / "a/x").iterdir()] == ["img_00002.png"]
    (tmp_path / "a/x/notes.txt").touch()
    with (
        pytest.raises(MediaError, match="already exists and was not made by this tool"),
        whole_folder(str(tmp_path), "a/x", PNG.template),
    ):
        pass
    assert (tmp_path / "a/x/notes.txt").exists()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain.mp4", {}),
        ("late.mkv", {"b_frames": 2, "count": 20}),
        ("turned.mp4", {"rotation": 90}),
        ("ten bits.mp4", {"pix_fmt": "yuv420p10le"}),
        ("odd.avi", {"codec": "mjpeg", "pix_fmt": "yuvj444p", "size": (47, 63)}),
        ("gray.mp4", {"pix_fmt": "gray"}),
        ("av1.mkv", {"codec": "libsvtav1"}),
    ],
)
def test_png_frames_are_the_decoders_pixels(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    path = media.write_video(tmp_path / name, **settings)  # type: ignore[arg-type]
    made = extract_video(str(path), name, str(tmp_path), PNG)
    with open_video(path) as source:
        decoded = list(source.images())
    assert same(images_in(tmp_path / path.stem), decoded)
    assert (made["frames"], made["decoded"], made["claimed"]) == (len(decoded),) * 3


def test_an_interval_keeps_the_first_frame_and_a_size_is_given(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "x.mp4", 12)
    extract_video(str(path), "x.mp4", str(tmp_path / "all"), FrameOptions("png"))
    made = extract_video(str(path), "x.mp4", str(tmp_path / "some"), FrameOptions("png", interval=5))
    every = images_in(tmp_path / "all/x")
    assert same(images_in(tmp_path / "some/x"), every[::5])
    assert (made["frames"], made["decoded"]) == (3, 12)
    extract_video(str(path), "x.mp4", str(tmp_path / "small"), FrameOptions("png", size=Size(short=24)))
    assert {image.shape for image in images_in(tmp_path / "small/x")} == {(24, 32, 3)}


def test_jpg_quality_is_what_is_asked_for(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "x.mp4", 2)
    for quality in (95, 30):
        extract_video(str(path), "x.mp4", str(tmp_path / str(quality)), FrameOptions("jpg", quality=quality))
    fine, coarse = ((tmp_path / name / "x/img_00001.jpg").stat().st_size for name in ("95", "30"))
    assert coarse < 0.7 * fine


def test_a_video_cut_short_keeps_what_decodes(tmp_path: Path) -> None:
    path = media.truncate(media.write_video(tmp_path / "x.mp4", 30), 0.6)
    made = extract_video(str(path), "x.mp4", str(tmp_path), PNG)
    assert 0 < made["frames"] == made["decoded"] < made["claimed"] == 30
    assert len(images_in(tmp_path / "x")) == made["frames"]


def write_bad(folder: Path) -> dict[str, str]:
    """Write files that are not videos, and return the expected message for each."""
    (folder / "empty.mp4").touch()
    (folder / "page.mp4").write_text("<html><body>404</body></html>")
    moov = media.write_video(folder / "no moov.mp4")
    moov.write_bytes(moov.read_bytes().replace(b"moov", b"none"))
    media.write_audio(folder / "sound.mp4")
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\n../good/plain.mp4\n#EXT-X-ENDLIST\n")
    (folder / "concat.avi").write_text("ffconcat version 1.0\nfile ../good/plain.mp4\n")
    no_video = "not a readable video"
    return {"empty.mp4": no_video, "page.mp4": no_video, "no moov.mp4": no_video, "sound.mp4": "has no video stream",
            "list.mp4": no_video, "concat.avi": no_video}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of good videos with difficult names, one that is cut short, and bad files."""
    root = tmp_path / "videos"
    for folder in ("good/deep", "bad"):
        (root / folder).mkdir(parents=True)
    media.write_video(root / "good/plain.mp4", 6)
    for name in HARD_NAMES:
        (root / "good/deep" / f"{name}.mp4").write_bytes((root / "good/plain.mp4").read_bytes())
    media.truncate(media.write_video(root / "bad/short.mp4", 30), 0.6)
    write_bad(root / "bad")
    return root


def test_a_run_gives_every_video_its_folder_or_its_reason(tree: Path, tmp_path: Path, call: Call) -> None:
    command = ["tools/extract_frames.py", f"{tree}/", "-o", "out", "-j", "2", "--out_ext", "png"]
    out, bad = tmp_path / "out", write_bad(tree / "bad")
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    stale = out / PARTIAL / f"{hash_of('short'):016x}-0badf00d"
    stale.mkdir(parents=True)
    done = call(*command, status=1)
    assert "8 of 14 videos done, 1 of them cut short, 6 failed" in done.out
    assert re.search(r"^cut short: bad/short.mp4: only \d+ of 30 frames could be read$", done.out, re.MULTILINE)
    rows = report_of(out)
    assert {name: rows[f"bad/{name}"]["reason"].partition(" (")[0] for name in bad} == bad
    assert {row["status"] for video, row in rows.items() if video.startswith("good")} == {"done"}
    folders = {row["folder"] for row in rows.values() if row["folder"]}
    assert (
        folders
        == {"plain", "short", *HARD_NAMES}
        == {path.name for path in out.iterdir() if path.is_dir()} - {".journal"}
    )
    for name in HARD_NAMES:
        assert same(images_in(out / name), images_in(out / "plain"))
    assert before == {path: path.stat().st_mtime_ns for path in before}, "a source was touched"

    # A second run extracts only folders that are missing or whose video has changed.
    kept = (out / "a b").stat().st_ino
    (out / "日本/img_00002.png").unlink()
    media.write_video(tree / "good/plain.mp4", 9)
    report = (out / "report.csv").read_text(errors="surrogateescape")
    call(*command, status=1)
    assert (out / "a b").stat().st_ino == kept
    assert (len(images_in(out / "日本")), len(images_in(out / "plain"))) == (6, 9)
    changed = report.replace("plain.mp4,plain,6,6,6", "plain.mp4,plain,9,9,9")
    assert (out / "report.csv").read_text(errors="surrogateescape") == changed != report


def test_collisions_are_told_before_anything_is_written_and_folders_can_be_kept(tmp_path: Path, call: Call) -> None:
    for folder in ("one", "two"):
        (tmp_path / "videos" / folder).mkdir(parents=True)
        media.write_video(tmp_path / "videos" / folder / "x.mp4", 3)
    done = call("tools/extract_frames.py", "videos", "-o", "out", status=2)
    advice = "use --keep_dirs, or rename one of them"
    assert done.err == f"error: one/x.mp4 and two/x.mp4 would both become x; {advice}\n"
    assert not (tmp_path / "out").exists()
    for share in ("1/2", "2/2"):
        done = call("tools/extract_frames.py", "videos", "-o", "out", "--keep_dirs", "--shard", share, "-j", "1")
        assert ("the last one to finish writes the report" in done.out) == (share == "1/2")
    assert len(images_in(tmp_path / "out/two/x")) == 3
    assert report_of(tmp_path / "out").keys() == {"one/x.mp4", "two/x.mp4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "out"], "nowhere: no such file or folder"),
        (["empty", "-o", "out"], "empty: contains no videos"),
        (["empty", "-o", "out", "-e", "xyz"], r"empty: contains no videos \(.xyz\)"),
        (["empty", "-o", "out", "-e", "a/b"], "must be a file extension"),
        (["empty"], "-o/--out_path"),
        (["empty", "-o", "out", "--size", "big"], "'big' must be W:H or min=N"),
        (["empty", "-o", "out", "-i", "0"], "an integer of at least 1"),
        (["empty", "-o", "out", "--quality", "101"], "an integer from 1 to 100"),
        (["empty", "-o", "out", "--out_ext", "gif"], "choose from"),
    ],
)
def test_bad_arguments_end_in_one_line(arguments: list[str], message: str, tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    done = call("tools/extract_frames.py", *arguments, status=2)
    assert re.search(message, done.err)
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_full_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.write_video(tmp_path / "x.mp4", 3)
    really: Callable[..., object] = open

    def no_space(name: str, *arguments: object, **options: object) -> object:
        if str(name).endswith("img_00002.png"):
            raise OSError(28, "No space left on device")
        return really(name, *arguments, **options)

    monkeypatch.setattr("builtins.open", no_space)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)") as raised:
        extract_video(str(path), "x.mp4", str(tmp_path / "out"), PNG)
    assert not isinstance(raised.value, MediaError)
    assert not (tmp_path / "out/x").exists()
    assert not any((tmp_path / "out" / PARTIAL).iterdir())

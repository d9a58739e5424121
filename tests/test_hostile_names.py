"""Malicious names and very long names give one line each, and other videos are still processed."""

import os
from pathlib import Path

import media
import pytest
import torch
from conftest import Call
from small_runs import save_weights

LONG = f"{'l' * 251}.mp4"
"""A name of 255 bytes, the maximum."""

LONGER_AS_MP4 = f"{'s' * 252}.ts"
"""A name that has 256 bytes with the extension .mp4, .csv or .png."""

WEIGHTS = ("--weights", "w.pth.tar", "--device", "cpu")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three videos, two of them with long names, beside the weights of a small model."""
    (tmp_path / "clips/c").mkdir(parents=True)
    for seed, name in enumerate(("a.mp4", LONG, LONGER_AS_MP4)):
        media.write_video(tmp_path / "clips/c" / name, 8, seed=seed)
    save_weights(tmp_path / "w.pth.tar", input_size=32)
    return tmp_path / "clips"


@pytest.mark.parametrize(
    ("command", "status", "made"),
    [
        (("extract_frames", "clips", "-o", "out"), 0, 3),
        (("extract_frames", "clips", "-o", "out", "--keep_dirs"), 0, 3),
        (("extract_flow", "clips", "-o", "out"), 0, 3),
        (("resize_videos", "clips", "-o", "out", "--size", "24"), 1, 2),
        (("predict", "clips", *WEIGHTS, "--save", "out"), 1, 2),
        (("predict", "clips", *WEIGHTS, "--timeline", "out"), 1, 4),
        (("explain", "clips", *WEIGHTS, "--output", "out"), 0, 15),
        (("gen_labels", "folder", "--data", "clips", "--out", "out"), 0, 7),
    ],
    ids=lambda value: "-".join(value[:1] + value[4:]) if isinstance(value, tuple) else "",
)
def test_a_long_name_does_not_affect_other_videos(
    command: tuple[str, ...], status: int, made: int, clips: Path, call: Call
) -> None:
    name, *arguments = command
    done = call(f"tools/{name}.py", *arguments, *(("-j", "1") if name[:3] in ("ext", "res") else ()), status=None)
    printed = done.out + done.err
    assert done.status == status and "Traceback" not in printed, printed
    if status:
        (said,) = [line for line in printed.splitlines() if "File name too long" in line]
        assert "s" * 200 in said
    deep = Path(clips.parent / "out/c")
    found = list((deep if deep.is_dir() else clips.parent / "out").iterdir())
    assert len([path for path in found if not path.name.startswith((".", "report"))]) == made, found


@pytest.mark.parametrize("length", [255, 256, 5000])
@pytest.mark.parametrize(
    "command",
    [
        ("tools/extract_frames.py", "clips", "-j", "1", "-o"),
        ("tools/extract_flow.py", "clips", "-j", "1", "-o"),
        ("tools/resize_videos.py", "clips", "-j", "1", "-o"),
        ("tools/predict.py", "clips/c/a.mp4", *WEIGHTS, "--csv"),
        ("tools/predict.py", "clips/c/a.mp4", *WEIGHTS, "--json"),
        ("tools/predict.py", "clips/c/a.mp4", *WEIGHTS, "--timeline"),
        ("tools/predict.py", "clips/c/a.mp4", *WEIGHTS, "--save"),
        ("tools/explain.py", "clips/c/a.mp4", *WEIGHTS, "--output"),
        ("tools/gen_labels.py", "folder", "--data", "clips", "--out"),
        ("tools/check_dataset.py", "custom", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "clips/c",
         "--num_class", "2", "-j", "1", "--write_clean", "--output"),
        ("tools/report.py", "results", "--output"),
        ("tools/convert_checkpoint.py", "w.pth.tar"),
        ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", "--root_path", "clips/c", "-j", "0",
         "--output"),
        ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", "--root_path", "clips/c", "-j", "0",
         "--output", "out", "--save_scores"),
    ],
    ids=lambda value: value[0].split("/")[-1][:-3] + value[-1],
)  # fmt: skip
def test_a_long_name_of_an_output_is_taken_or_refused(
    command: tuple[str, ...], length: int, clips: Path, call: Call
) -> None:
    (clips.parent / "l.txt").write_text("a.mp4 8 0\na.mp4 8 1\n")
    (clips.parent / "results").mkdir()
    (clips.parent / "results/metrics.json").write_text('{"expected": 1, "scored": 1, "failed": 0}')
    done = call(*command, "o" * (length - 4) + ".mp4", status=None)
    if length == 255:
        assert done.status in (0, 1, 2), done
    else:  # a drawing that fails does not fail the prediction
        assert done.status == (1 if command[-1] == "--save" else 2), done
        assert "File name too long" in (done.out + done.err).splitlines()[-1], done


def test_lists_and_folders_with_long_names(clips: Path, call: Call) -> None:
    """Files with names of 255 bytes are checked and shown; output files with longer names are reported beforehand."""
    name = "l" * 251
    check = ("tools/check_dataset.py", "custom", "--root_path", "clips/c", "--num_class", "2", "-j", "1")
    train = clips.parent / f"{name}.txt"
    train.write_text(f"{LONG} 8 0\n{LONGER_AS_MP4} 8 1\na.mp4 9 1\n")
    lists = ("--train_list", train.name, "--val_list", train.name)
    said = call(*check, *lists, "--write_clean", "--output", "out", status=2).err
    assert said.endswith("File name too long)\n") and said.count("\n") == 1 and ".clean.txt: " in said
    assert not [path for path in (clips.parent / "out").iterdir() if path.name != ".journal"]
    for _ in range(2):
        done = call(*check, *lists, "--output", "out", status=None)
        assert done.status in (0, 1) and LONG not in done.err, done
    run = clips.parent / ("r" * 255)
    run.mkdir()
    (run / "metrics.json").write_text('{"expected": 1, "scored": 1, "failed": 0}')
    (run / "predictions.csv").write_text(f"path,label,prediction,score,top5,ok,reason\n{LONG},,1,0.5,,True,\n")
    call("tools/report.py", run.name, "--output", "page.html")
    assert run.name in (clips.parent / "page.html").read_text()


EVIL = "<img src=x onerror=alert(1)>"


def test_markup_in_names_is_text_on_the_page_of_explanations(clips: Path, call: Call) -> None:
    folder = clips.parent / EVIL
    folder.mkdir()
    os.rename(clips / "c/a.mp4", folder / f"{EVIL}.mp4")
    model = torch.load(clips.parent / "w.pth.tar", weights_only=True)["state_dict"]
    torch.save({"state_dict": model, "meta": {"class_names": [EVIL, "b"], "input_size": 32}}, folder / "w.pth.tar")
    call("tools/explain.py", folder, "--weights", folder / "w.pth.tar", "--device", "cpu", "--output", "out")
    page = (clips.parent / "out/explain.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "<img src=x" not in page


STRANGE = "new_fc.\x1b[31mweight\nbias\r"


@pytest.mark.parametrize(
    "command",
    [
        ("tools/show_checkpoint.py", "strange.pth.tar"),
        ("tools/convert_checkpoint.py", "strange.pth.tar", "out.safetensors"),
        ("tools/convert_checkpoint.py", "strange.pth.tar", "out.pth.tar", "--to", "mmaction"),
        ("tools/predict.py", "clips/c/a.mp4", "--weights", "strange.pth.tar", "--device", "cpu"),
        ("tools/export.py", "strange.pth.tar", "out.onnx"),
    ],
    ids=lambda value: value[0],
)
@pytest.mark.parametrize("value", [torch.zeros(2), torch.zeros(2, 3).to_sparse()], ids=["dense", "sparse"])
def test_names_of_tensors_reach_no_terminal_as_they_are(
    value: torch.Tensor, command: tuple[str, ...], clips: Path, call: Call, recwarn: pytest.WarningsRecorder
) -> None:
    state = torch.load(clips.parent / "w.pth.tar", weights_only=True)["state_dict"]
    torch.save({"state_dict": {**state, STRANGE: value}}, clips.parent / "strange.pth.tar")
    torch.set_warn_always(True)  # a warning that an earlier test had too would not be given again
    try:
        done = call(*command, status=None)
    finally:
        torch.set_warn_always(False)
    assert not [warning for warning in recwarn if not issubclass(warning.category, DeprecationWarning)]
    assert "\x1b" not in done.out + done.err and "Traceback" not in done.err
    assert "\nbias" not in done.out + done.err
    errors = [line for line in done.err.splitlines() if not line.startswith("warning: ")]
    assert done.status in (0, 2) and (done.status == 0 or len(errors) == 1), done


def everything(folder: Path, but: str) -> dict[str, bytes | None]:
    """All files and folders below `folder` with their content, except those in its subfolder `but`."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.relative_to(folder).parts[0] != but
    }


@pytest.mark.parametrize(
    "command",
    [
        ("extract_frames", "place/tree", "-j", "1", "-o", "out", "--keep_dirs"),
        ("extract_frames", "place/tree", "-j", "1", "-o", "out", "--out_ext", "png"),
        ("extract_flow", "place/tree", "-j", "1", "-o", "out"),
        ("resize_videos", "place/tree", "-j", "1", "-o", "out"),
        ("predict", "place/tree", "place/../place/tree/a.mp4", *WEIGHTS, "--save", "out"),
        ("predict", "place/tree", "place/../place/tree/a.mp4", *WEIGHTS, "--timeline", "out"),
        ("explain", "place/tree", *WEIGHTS, "--output", "out"),
        ("gen_labels", "folder", "--data", "place/tree", "--out", "out"),
        ("check_dataset", "custom", "--train_list", "l.txt", "--val_list", "v.txt", "--root_path", "place/tree",
         "--num_class", "2", "-j", "1", "--write_clean", "--output", "out"),
    ],
    ids=lambda value: f"{value[0]}{value[-1]}",
)  # fmt: skip
def test_nothing_is_written_outside_of_the_output_folder(command: tuple[str, ...], clips: Path, call: Call) -> None:
    """The tree has links out of it, cyclic and broken links, names of dots, and lists with `../` and absolute paths.

    Only the index files of checked lists are written elsewhere, beside these lists.
    """
    place, tree = clips.parent, clips.parent / "place/tree"
    for name in ("x/y", "z", "..."):
        (tree / name).mkdir(parents=True)
    for seed, name in enumerate(("a.mp4", "x/y/b.mp4", ".../...mp4", "z/..c.mp4", "z/...d.mp4", "z/-o.mp4")):
        media.write_video(tree / name, 8, seed=seed)
    (place / "beside").mkdir()
    media.write_video(place / "beside/e.mp4", 8)
    (tree / "z/link.mp4").symlink_to(clips / "c/a.mp4")
    (tree / "z/absent.mp4").symlink_to(place / "made_by_a_tool.mp4")
    (tree / "z/circle").symlink_to(tree)
    (tree / "elsewhere").symlink_to(place / "beside")
    (place / "l.txt").write_text(f"../../clips/c/a.mp4 8 0\n{tree}/a.mp4 8 1\na.mp4 9 7\n")
    (place / "v.txt").write_text("x/y/b.mp4 8 0\n./../tree/z/link.mp4 8 1\n")
    before = everything(place, "out")
    name, *arguments = command
    done = call(f"tools/{name}.py", *arguments, status=None)
    assert done.status in (0, 1) and "Traceback" not in done.err, done
    after = everything(place, "out")
    assert {path: content for path, content in after.items() if path not in ("l.txt.index", "v.txt.index")} == before
    assert (place / "out").is_dir() and ("l.txt.index" in after) == (name == "check_dataset")

"""The four scripts as users run them: train, resume, test and fuse, on real videos and frames."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import Call, Ended, NewFolder, Run
from PIL import Image

from ops.data.videos import open_video
from ops.models.checkpoint import load_model, read_checkpoint, save_checkpoint
from ops.models.recognizer import build_model

TINY = ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32", "--npb"]
TINY += ["--gd", "20", "--device", "cpu"]


@dataclass(frozen=True)
class Clips:
    """Six tiny videos of two classes, the same clips as PNG frames, folders of flow, and their lists."""

    root: Path

    def arguments(self, kind: str) -> list[str]:
        data = ["custom", "RGB" if kind != "flow" else "Flow", "--root_path", str(self.root), "--num_class", "2"]
        return [*data, "--train_list", str(self.root / f"{kind}.txt"), "--val_list", str(self.root / f"{kind}.txt")]

    def test_arguments(self, kind: str, *weights: Path) -> list[str]:
        files = ",".join(map(str, weights))
        data = ["custom", "--root_path", str(self.root), "--test_list", str(self.root / f"{kind}.txt")]
        return [*data, "--weights", files, "--device", "cpu", "-j", "0"]


@pytest.fixture(scope="module")
def clips(new_folder: NewFolder) -> Clips:
    root = new_folder("clips")
    lines: dict[str, list[str]] = {"videos": [], "frames": [], "flow": []}
    for number in range(6):
        count = 8 + number
        path = media.write_video(root / f"clip {number}.mp4", count, seed=number)
        (root / f"frames {number}").mkdir()
        with open_video(path) as source:
            for index, frame in source.frames(range(count)):
                image = Image.fromarray(frame.permute(1, 2, 0).numpy())
                image.save(root / f"frames {number}" / f"img_{index + 1:05d}.png")
        media.write_flow(root / f"flow {number}", count, seed=number)
        for kind, name in (("videos", path.name), ("frames", f"frames {number}"), ("flow", f"flow {number}")):
            lines[kind].append(f"{name} {count} {number % 2}\n")
    for kind, rows in lines.items():
        (root / f"{kind}.txt").write_text("".join(rows))
    return Clips(root)


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> dict[str, Path]:
    """Checkpoints as the published code writes them, without metadata on classes or sampling."""
    folder = new_folder("weights")
    torch.manual_seed(5)
    paths = {}
    for name, options in {
        "three": {"num_segments": 3}, "five": {"num_segments": 5}, "flow": {"num_segments": 3, "modality": "Flow"},
        "tsn": {"num_segments": 3, "tam": False}, "classes": {"num_segments": 3, "num_classes": 3},
    }.items():  # fmt: skip
        model = build_model(**{"arch": "resnet18", "num_classes": 2, **options})  # type: ignore[arg-type]
        model.head.weight.data.normal_(std=0.5)
        paths[name] = folder / f"{name}.pth.tar"
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, paths[name])
    return paths


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def states(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_on_videos_leaves_a_run_folder_and_resumes_as_if_never_stopped(
    clips: Clips, call: Call, tmp_path: Path
) -> None:
    train = ["online_main.py", *clips.arguments("videos"), *TINY, "--tam", "-b", "2", "--eval-freq", "1"]
    train += ["--lr", "0.01", "--root_log", "runs", "--root_model", "runs"]
    done = call(*train, "--epochs", "2", "-j", "2", "--store_name", "whole")
    assert "epoch 2/2: loss" in done.out and "best validation top-1" in done.out
    run = tmp_path / "runs" / "whole"
    assert {"args.json", "log.csv", "curves.png", "ckpt.pth.tar", "ckpt.best.pth.tar"} <= {
        path.name for path in run.iterdir()
    }
    assert list(run.glob("events.out.tfevents.*"))
    assert [row["epoch"] for row in rows_of(run / "log.csv")] == ["0", "1"]
    assert json.loads((run / "args.json").read_text())["arguments"]["num_segments"] == 3

    # The same run in two parts, interrupted in the middle of an epoch and continued with another number of workers.
    call(*train, "--epochs", "2", "-j", "0", "--store_name", "parts", "--max_steps", "4")
    assert states(tmp_path / "runs/parts/ckpt.pth.tar")["step"] == 1
    call(*train, "--epochs", "2", "-j", "1", "--store_name", "parts", "--resume", "auto")
    whole, parts = (states(tmp_path / "runs" / name / "ckpt.pth.tar") for name in ("whole", "parts"))
    assert same_tensors(whole["state_dict"], parts["state_dict"])
    buffers = [{str(k): v["momentum_buffer"] for k, v in s["optimizer"]["state"].items()} for s in (whole, parts)]
    assert same_tensors(*buffers)
    assert whole["epoch"] == parts["epoch"] == 2 and whole["meta"]["num_segments"] == 3
    assert load_model(run / "ckpt.best.pth.tar").num_segments == 3

    # An older run is not overwritten, and --evaluate changes nothing.
    assert "belongs to an earlier run" in call(*train, "--store_name", "whole", status=2).err
    seen = call(*train, "-j", "0", "--store_name", "whole", "-e", "--resume", run / "ckpt.pth.tar")
    assert "6 of 6 videos scored" in seen.out


def test_frames_and_videos_of_the_same_clips_score_the_same(
    clips: Clips, weights: dict[str, Path], call: Call, tmp_path: Path
) -> None:
    protocol = ["--test_crops", "3", "--full_res", "--sample", "uniform-2", "--input_size", "32", "--output", "out"]
    for name, kind in (("online_test_models.py", "videos"), ("test_models.py", "frames")):
        done = call(name, *clips.test_arguments(kind, weights["three"]), *protocol, "--save_scores", f"{kind}.npz")
        assert "videos: 6 expected, 6 scored, 0 failed" in done.out and "mean class accuracy" in done.out
    videos, frames = np.load(tmp_path / "videos.npz"), np.load(tmp_path / "frames.npz")
    assert np.array_equal(videos["scores"], frames["scores"]) and videos["scores"].dtype == np.float32
    assert videos["paths"].tolist() == [f"clip {n}.mp4" for n in range(6)]
    assert videos["labels"].tolist() == [0, 1] * 3 and videos["ok"].all()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["top1"] == 100 * (videos["scores"].argmax(1) == videos["labels"]).mean()
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left >= {"per_class.csv", "confusion.npy", "confusion.png", "mistakes.csv", "worst.txt"}
    assert np.load(tmp_path / "out" / "confusion.npy").sum() == 6
    predictions = rows_of(tmp_path / "out" / "predictions.csv")
    assert [int(row["prediction"]) for row in predictions] == videos["scores"].argmax(1).tolist()


@pytest.mark.parametrize("softmax", [False, True])
def test_models_are_fused_as_published(
    softmax: bool, clips: Clips, weights: dict[str, Path], call: Call, tmp_path: Path
) -> None:
    common = ["--sample", "uniform-2", "--input_size", "32", "--output", "out", *(["--softmax"] if softmax else [])]
    for name in ("three", "five"):
        call("online_test_models.py", *clips.test_arguments("videos", weights[name]), *common, "--save_scores", name)
    both = clips.test_arguments("videos", weights["three"], weights["five"])
    fused = ["--test_segments", "3,5", "--coeff", "1,0.5", "--save_scores", "both", "--max_num", "4"]
    done = call("online_test_models.py", *both, *common, *fused, "--topk", "2", "1")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "top2" in metrics and "top5" not in metrics and f"top-2 {metrics['top2']:.2f} %, mean" in done.out
    three, five, all_ = (np.load(tmp_path / name)["scores"] for name in ("three", "five", "both"))
    assert len(all_) == 4
    assert np.allclose(all_, (three + 0.5 * five)[:4], atol=1e-5)


def test_rgb_and_flow_are_fused_from_two_lists(
    clips: Clips, weights: dict[str, Path], call: Call, tmp_path: Path
) -> None:
    common = ["--input_size", "32", "--output", "out"]
    for name, kind in (("three", "frames"), ("flow", "flow")):
        call("test_models.py", *clips.test_arguments(kind, weights[name]), *common, "--save_scores", name)
    arguments = clips.test_arguments("frames", weights["three"], weights["flow"])
    arguments[arguments.index("--test_list") + 1] = f"{clips.root / 'frames.txt'},{clips.root / 'flow.txt'}"
    call("test_models.py", *arguments, *common, "--save_scores", "both")
    three, flow, both = (np.load(tmp_path / name)["scores"] for name in ("three", "flow", "both"))
    assert np.allclose(both, three + flow, atol=1e-5)


@pytest.mark.parametrize(("kind", "modality"), [("frames", "RGB"), ("flow", "Flow")])
def test_training_on_frames_and_on_flow(kind: str, modality: str, clips: Clips, call: Call, tmp_path: Path) -> None:
    arguments = ["main.py", *clips.arguments(kind), *TINY, "--tam", "-b", "3", "--epochs", "1", "-j", "0"]
    call(*arguments, "--lr_type", "cos", "--dense_sample", "--suffix", "x", "--warmup_epochs", "1")
    name = f"custom_{modality}_resnet18_tam_avg_segment3_e1_none_cos_dense_x"
    assert load_model(tmp_path / "checkpoints" / name / "ckpt.pth.tar").modality == modality
    done = call("test_models.py", *clips.test_arguments(kind, tmp_path / "checkpoints" / name / "ckpt.pth.tar"))
    assert "6 scored" in done.out and (tmp_path / "checkpoints" / name / "test" / "metrics.json").exists()


def test_tuning_takes_from_the_checkpoint_what_is_not_given(clips: Clips, call: Call, tmp_path: Path) -> None:
    model = build_model("resnet18", 3, 4, tam=True, dropout=0.0)
    save_checkpoint(tmp_path / "start.pth", model, {"input_size": 32, "num_segments": 4, "dropout": 0.0})
    arguments = ["main.py", *clips.arguments("frames"), "--npb", "--gd", "20", "-b", "6", "--epochs", "1", "-j", "0"]
    arguments += ["--device", "cpu", "--tune_from", "start.pth"]
    done = call(*arguments)
    assert "classifier is initialised again" in done.out and "as in start.pth: --arch resnet18" in done.out
    folder = tmp_path / "checkpoints" / "custom_RGB_resnet18_tam_avg_segment4_e1"
    told = {"arch": "resnet18", "num_segments": 4, "input_size": 32, "dropout": 0.0, "temporal": "tam"}
    recipe = json.loads((folder / "args.json").read_text())["arguments"]
    assert {name: recipe[name] for name in told} == told and "given" not in recipe
    made = read_checkpoint(folder / "ckpt.pth.tar")
    assert (made.num_segments, made.meta["input_size"], made.meta["recipe"]["arch"]) == (4, 32, "resnet18")
    again = [*arguments, "--resume", "auto"]
    assert "1 epoch and 0 steps are done" in call(*again).out  # the same command continues the run
    (tmp_path / "start.pth").rename(tmp_path / "gone.pth")
    assert "start.pth: " in call(*again, status=2).err  # the name of the folder depends on the file
    assert "1 epoch and 0 steps" in call(*again, "--store_name", folder.name).out
    arguments[-1] = "gone.pth"
    for flags, message in {
        ("--num_segments", "3"): "--num_segments 3 contradicts gone.pth, which has --num_segments 4:",
        ("--arch", "resnet34"): "--arch resnet34 contradicts gone.pth, which has --arch resnet18:",
        ("--shift",): "--shift contradicts gone.pth, which has --temporal tam:",
    }.items():
        assert call(*arguments, *flags, status=2).err.startswith(f"error: {message}")


@pytest.fixture
def damaged(clips: Clips, tmp_path: Path) -> Path:
    """A list of videos that are intact, missing, broken, and cut short."""
    media.truncate(media.write_video(tmp_path / "cut.mp4", 24, gop=4), 0.6)
    (tmp_path / "text.mp4").write_text("<html>not found</html>")
    lines = [f"{clips.root / 'clip 0.mp4'} 8 0", "gone.mp4 9 1", "text.mp4 9 1", "cut.mp4 24 1"]
    (tmp_path / "damaged.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "damaged.txt"


def test_a_test_never_replaces_a_broken_video(
    damaged: Path, weights: dict[str, Path], call: Call, tmp_path: Path
) -> None:
    done = call(
        "online_test_models.py", "custom", "--weights", weights["three"], "--test_list", damaged, "--root_path", ".",
        "--input_size", 32, "--device", "cpu", "-j", 1, "--save_scores", "s.npz", "--output", "out", status=1,
    )  # fmt: skip
    assert "videos: 4 expected, 2 scored, 2 failed" in done.out
    assert "not scored: gone.mp4: No such file" in done.err and "not scored: text.mp4: not a readable video" in done.err
    assert "cut short, but scored: " in done.err and "but the list says 24" in done.err
    scores = np.load(tmp_path / "s.npz")
    assert scores["ok"].tolist() == [True, False, False, True]
    assert np.isnan(scores["scores"]).any(1).tolist() == [False, True, True, False]
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    assert rows[1]["prediction"] == "" and "No such file" in rows[1]["reason"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["failed"] == 2


def test_training_replaces_broken_videos_and_says_so(damaged: Path, call: Call, tmp_path: Path) -> None:
    train = ["online_main.py", "custom", "RGB", "--train_list", damaged, "--val_list", damaged, "--root_path", "."]
    train += ["--num_class", "2", *TINY, "--tam", "-b", "4", "--epochs", "1", "-j", "0", "--store_name", "run"]
    done = call(*train)
    assert "gone.mp4 was replaced in training: No such file" in done.err
    row = rows_of(tmp_path / "checkpoints/run/log.csv")[0]
    assert (row["val_scored"], row["val_failed"]) == ("2", "2")
    named = {(row["path"], row["what"]) for row in rows_of(tmp_path / "checkpoints/run/bad_samples.csv")}
    assert named == {
        (path, what)
        for path in ("gone.mp4", "text.mp4")
        for what in ("was replaced in training", "was left out of validation")
    } | {("cut.mp4", "was cut short")}


def test_a_training_ends_if_all_videos_are_broken(call: Call, tmp_path: Path, weights: dict[str, Path]) -> None:
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_text("nothing")
    (tmp_path / "l.txt").write_text("a.mp4 5 0\nb.mp4 5 1\n")
    data = ["--root_path", ".", "--device", "cpu", "-j", "0"]
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--num_class", "2"]
    done = call(*train, *data, *TINY, "--tam", "-b", "2", "--store_name", "run", status=2)
    assert ".mp4: not a readable video" in done.err and lines_of(done)[-1].startswith("error: ")
    test = ["online_test_models.py", "custom", "--weights", weights["three"], "--test_list", "l.txt", *data]
    assert "no video could be scored" in call(*test, "--output", "out", status=1).out


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("custom", ["clip 0.mp4;up", "clip 1.mp4;down"]), ("somethingv2", ["clip 0.mp4;0;1", "clip 1.mp4;1;0"])],
)
def test_csv_files_as_published_also_for_lists_without_labels(
    dataset: str, expected: list[str], clips: Clips, weights: dict[str, Path], call: Call, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("up\ndown\n")
    (tmp_path / "l.txt").write_text("clip 0.mp4\nclip 1.mp4\n")
    done = call(
        "online_test_models.py", dataset, "--weights", weights["three"], "--test_list", "l.txt", "--root_path",
        clips.root, "--class_names", "names.txt", "--csv_file", "p.csv", "--input_size", 32, "--device", "cpu",
        "-j", 0, "--output", "out", "--save_scores", "s.npz",
    )  # fmt: skip
    assert "no accuracy: the list has no labels" in done.out
    best = np.argsort(-np.load(tmp_path / "s.npz")["scores"], axis=1)
    names = [["up", "down"][k] for k in best[:, 0]]
    lines = (tmp_path / "p.csv").read_text().splitlines()
    shown = [";".join(map(str, row)) for row in best] if dataset == "somethingv2" else names
    assert lines == [f"clip {n}.mp4;{text}" for n, text in enumerate(shown)]
    assert [line.count(";") for line in lines] == [line.count(";") for line in expected]


LAUNCH = f"""import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from ops.common.distributed import launch
if __name__ == "__main__":
    sys.exit(launch(2, sys.argv[1], sys.argv[2:]))
"""


def test_two_processes_train_and_test_like_one(clips: Clips, script: Run, call: Call, tmp_path: Path) -> None:
    (tmp_path / "launch.py").write_text(LAUNCH)  # does on a CPU what `--gpus 0 1` does
    main = Path(__file__).resolve().parents[1] / "main.py"
    train = [*clips.arguments("frames"), *TINY, "--tam", "-b", "2", "--epochs", "1", "-j", "0", "--gpus", "0", "1"]
    done = script(tmp_path / "launch.py", main, *train, "--store_name", "two")
    assert done.stdout.count("epoch 1/1: loss") == 1
    assert rows_of(tmp_path / "checkpoints/two/log.csv")[0]["val_scored"] == "6"
    best = tmp_path / "checkpoints/two/ckpt.best.pth.tar"
    test = ["online_test_models.py", *clips.test_arguments("videos", best), "--max_num", "5", "--output", "out"]
    script(*test, "--save_scores", "two.npz", processes=2)
    call(*test, "--save_scores", "one.npz")
    one, two = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
    assert one["scores"].shape == (5, 2) and np.allclose(one["scores"], two["scores"], atol=1e-6)


def test_bad_input_to_several_processes_ends_with_its_status(clips: Clips, script: Run) -> None:
    train = ["main.py", *clips.arguments("frames"), *TINY, "-b", "3"]
    done = script(*train, processes=2, status=None)
    assert "error: --batch-size (3) is the total over all processes; 2 must divide it" in done.stderr
    assert done.returncode != 0


def lines_of(ended: Ended) -> list[str]:
    return ended.err.strip().splitlines()


BAD_TRAINING = {
    "missing list": (["--train_list", "none.txt"], "none.txt: cannot read the list"),
    "empty list": (["--train_list", "empty.txt"], "empty.txt: the list is empty"),
    "malformed line": (
        ["--train_list", "malformed.txt"],
        "malformed.txt:2: no frame count; expected 'path num_frames label', got 'only_a_path'",
    ),
    "label out of range": (["--train_list", "label.txt"], "label.txt:1: label 2 is outside 0…1"),
    "no label": (["--train_list", "unlabelled.txt"], "unlabelled.txt:1: no label"),
    "no file exists": (["--train_list", "gone.txt"], "gone.txt: none of its 2 paths exists;"),
    "directory as list": (["--train_list", "."], "is a directory"),
    "no such root": (["--root_path", "nowhere"], "--root_path nowhere: no such folder"),
    "fewer videos than a batch": (["-b", "7"], "6 videos cannot fill one batch of --batch-size 7"),
    "unknown architecture": (["--arch", "vgg16"], "unknown architecture vgg16"),
    "BNInception": (["--arch", "BNInception"], "BNInception has no TAM"),
    "non-local blocks of an unknown kind": (["--non_local", "yes"], "--non_local: invalid choice: 'yes'"),
    "two temporal modules": (["--shift"], "--tam and --shift ask for different temporal modules"),
    "too many dense segments": (["--dense_sample", "--num_segments", "65"], "--num_segments (65) must be at most 64"),
    "unreadable resume": (["--resume", "text.txt"], "text.txt: not a readable checkpoint"),
    "resume of a directory": (["--resume", "."], "is a directory; give a checkpoint file"),
    "resume of another model": (["--resume", "WEIGHTS/five.pth.tar"], "--num_segments is 5 in the checkpoint"),
    "resume of other classes": (["--resume", "WEIGHTS/classes.pth.tar"], "number of classes is 3 in the checkpoint"),
    "resume without TAM": (["--resume", "WEIGHTS/tsn.pth.tar"], "--temporal is none in the checkpoint, but tam here"),
    "resume without optimizer": (["--resume", "WEIGHTS/three.pth.tar"], "it has no optimizer state that fits"),
    "resume and tune": (["--resume", "x", "--tune_from", "x"], "give only one of them"),
    "evaluate nothing": (["-e"], "--evaluate needs --resume"),
    "unwritable output": (["--root_model", "text.txt/x"], "cannot write to this folder"),
    "unwritable log": (["--root_log", "text.txt/x"], "cannot write to this folder"),
    "class names of another count": (["--class_names", "three.txt"], "--num_class (2) and the 3 class names"),
    "class names twice": (["--class_names", "twice.txt"], "'a' occurs more than once"),
    "synchronised norms on a CPU": (["--syncbn"], "--syncbn needs GPUs"),
    "GPUs that are not there": (["--device", "cuda:77"], "GPU 77 does not exist"),
    "GPUs and a CPU": (["--gpus", "0", "1"], "cannot be combined with --device cpu"),
    "unknown device": (["--device", "abacus"], "--device (abacus) must be"),
    "negative rate": (["--lr", "-1"], "'-1' must be a number above 0"),
    "rate beyond float32": (["--lr", "1e39"], "'1e39' must be a number above 0, at most 1e30"),
    "norm beyond float32": (["--clip-gradient", "1e39"], "'1e39' must be a number above 0, at most 1e9"),
    "unknown flag": (["--what"], "unrecognized arguments: --what"),
    "abbreviated flag": (["--num_seg", "8"], "unrecognized arguments: --num_seg"),
}  # fmt: skip


def write_bad_files(folder: Path, clips: Clips) -> None:
    good = f"{clips.root / 'frames 0'} 8 0\n"
    for name, text in {
        "empty.txt": "\n", "malformed.txt": good + "only_a_path\n", "label.txt": good.replace(" 0\n", " 2\n"),
        "unlabelled.txt": "frames 8\n", "gone.txt": "a 8 0\nb 8 1\n", "text.txt": "hello",
        "three.txt": "a\nb\nc\n", "twice.txt": "a\na\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text)


@pytest.mark.parametrize("what", BAD_TRAINING)
def test_bad_input_to_training_ends_in_one_line_and_status_2(
    what: str, clips: Clips, call: Call, tmp_path: Path, weights: dict[str, Path]
) -> None:
    flags, message = BAD_TRAINING[what]
    write_bad_files(tmp_path, clips)
    flags = [flag.replace("WEIGHTS", str(weights["three"].parent)) for flag in flags]
    ended = call("main.py", *clips.arguments("frames"), *TINY, "--tam", "-b", "2", "-j", "0", *flags, status=2)
    assert len(lines_of(ended)) == 1 and lines_of(ended)[0].startswith("error: ") and message in ended.err
    assert not list(tmp_path.rglob("*.pth.tar"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch", "RGB"], "unknown dataset nosuch; use one of kinetics"),
        (["custom", "RGB"], "dataset custom has no default folder: give the lists and --root_path"),
        (["kinetics", "RGBDiff"], "invalid choice: 'RGBDiff'"),
        (["kinetics", "RGB"], "no such list; give --train_list, or set TAM_DATASETS"),
    ],
)
def test_datasets_that_are_not_there(arguments: list[str], message: str, call: Call) -> None:
    ended = call("main.py", *arguments, "--device", "cpu", status=2)
    assert message in ended.err and len(lines_of(ended)) == 1


def test_flow_from_videos_is_refused(clips: Clips, call: Call) -> None:
    arguments = clips.arguments("videos")
    arguments[1] = "Flow"
    assert "videos contain only RGB" in call("online_main.py", *arguments, *TINY, status=2).err


BAD_TESTS = {
    "segments not trained for": (["--test_segments", "8"], "trained for 3 segments"),
    "another class count": (["--num_class", "4"], "has 2 classes, but 4 are asked for"),
    "pickled code": (["--weights", "code.pth"], "refused, because loading it would run code"),
    "unwritable output": (["--output", "text.txt"], "cannot write to this folder"),
    "unwritable scores": (["--save_scores", "text.txt/s.npz"], "cannot write to this folder"),
    "scores into a directory": (["--save_scores", "."], "is a directory; give the name of a file"),
    "no class file": (["--csv_file", "p.csv"], "--csv_file needs class names"),
    "missing class file": (["--class_names", "nothing.txt"], "nothing.txt: cannot read the class names"),
    "odd sample": (["--sample", "dense"], "sample (dense) must be twice, or dense-N or uniform-N"),
    "odd crops": (["--test_crops", "4"], "invalid choice: 4"),
    "coefficients": (["--coeff", "1,2"], "--coeff has 2 values for 1 model"),
    "missing list": (["--test_list", "nothing.txt"], "nothing.txt: cannot read the list"),
    "missing weights": (["--weights", "nothing.pth"], "nothing.pth: cannot read the checkpoint"),
}


class Payload:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("code ran",))


@pytest.mark.parametrize("what", BAD_TESTS)
def test_bad_input_to_a_test_ends_in_one_line_and_status_2(
    what: str, clips: Clips, call: Call, tmp_path: Path, weights: dict[str, Path]
) -> None:
    flags, message = BAD_TESTS[what]
    write_bad_files(tmp_path, clips)
    torch.save({"state_dict": {}, "x": Payload()}, tmp_path / "code.pth")
    ended = call("test_models.py", *clips.test_arguments("frames", weights["three"]), "--output", "o", *flags, status=2)
    assert len(lines_of(ended)) == 1 and lines_of(ended)[0].startswith("error: ") and message in ended.err
    assert "code ran" not in ended.out and not list(tmp_path.rglob("*.npz"))


def test_old_flags_are_accepted_and_reported_to_do_nothing(clips: Clips, call: Call) -> None:
    flags = ["--k", "3", "--img_feature_dim", "256", "--snapshot_pref", "x", "--flow_prefix", "flow_"]
    train = ["main.py", *clips.arguments("frames"), *TINY, "-b", "6", "--epochs", "1", "-j", "0"]
    done = call(*train, *flags)
    assert done.out.splitlines()[0] == (
        "--k, --img_feature_dim, --snapshot_pref, --flow_prefix: accepted for compatibility, but without effect"
    )


@pytest.mark.parametrize("line", ["clip 0.mp4 1", "clip 0.mp4", "clip 0.mp4 0", "clip 0.mp4 8 1"])
def test_a_list_of_videos_given_to_main_names_the_other_script(
    line: str, clips: Clips, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "l.txt").write_text(f"{line}\n")
    ended = call("main.py", *clips.arguments("frames"), *TINY, "-b", "1", "--train_list", "l.txt", status=2)
    assert "videos use online_main.py and online_test_models.py" in ended.err and ended.err.count("\n") == 1


def test_a_command_that_fails_leaves_no_folder(clips: Clips, call: Call, tmp_path: Path) -> None:
    train = [
        "main.py",
        *clips.arguments("frames"),
        "--arch",
        "resnet18",
        "-b",
        "2",
        "--root_model",
        "a/b",
        "--root_log",
    ]
    (tmp_path / "there").mkdir()
    for log in ("a/c", "there"):
        call(*train, log, "--pretrain", "none.pth", status=2)
        assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list((tmp_path / "there").iterdir())
    (tmp_path / "bad.mp4").touch()
    model = build_model("resnet18", 2, 3, tam=True, dropout=0.0)
    save_checkpoint(tmp_path / "w.pth", model, {"input_size": 32})
    for tool in (["tools/predict.py", "--window", "4", "--timeline", "x/y"], ["tools/explain.py", "--output", "x/y"]):
        call(*tool, "--weights", "w.pth", "bad.mp4", "--device", "cpu", status=2)
        assert not (tmp_path / "x").exists()


def test_warnings_go_to_standard_error_and_results_to_standard_output(
    damaged: Path, weights: dict[str, Path], call: Call
) -> None:
    test = [
        "online_test_models.py",
        "custom",
        "--weights",
        weights["three"],
        "--test_list",
        damaged,
        "--root_path",
        ".",
    ]
    done = call(*test, "--input_size", 32, "--device", "cpu", "-j", 0, status=1)
    assert "top-1" in done.out and "warning:" not in done.out
    assert "warning: not scored: gone.mp4" in done.err and "top-1" not in done.err


def test_a_rate_that_does_not_fit_the_batch_is_warned_of(clips: Clips, call: Call) -> None:
    arguments = clips.arguments("frames")
    arguments[0] = "something"
    train = ["main.py", *arguments, *TINY, "-b", "2", "--epochs", "1", "-j", "0", "--max_steps", "1"]
    assert "--lr 0.01 does not fit a batch size of 2" in call(*train, "--store_name", "a").err
    done = call(*train, "--scale_lr", "64", "--store_name", "b")
    assert "does not fit" not in done.err and "learning rate 0.0003125" in done.out

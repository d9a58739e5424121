"""`tools/explain.py` shows what the network really used and writes everything that was requested."""

import csv
import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Call, NewFolder
from media import write_frames, write_video
from torch import Tensor, nn

from ops.common.errors import InputError
from ops.explain.explainer import ClipsDataset, Video, explain_clip, find_class, open_explainer
from ops.explain.figures import draw_importance, draw_kernels, similarity_order
from ops.explain.kernel_spread import kernel_spread
from ops.explain.tam_hooks import fixed_kernels, tams_of, watch_tams
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import Recognizer, build_model
from ops.models.tam import TAM

SEGMENTS = 4
NAMES = ["jump", "<run>", "sit & wait", "left", "right", "wave"]
FILES = {"explain.html", "explain.json", "explain.npz"}


def lively(arch: str, tam: bool = True) -> Recognizer:
    """A small model with clearly uneven kernels and importance, and with different scores for its classes."""
    torch.manual_seed(3)
    model = build_model(arch, len(NAMES), SEGMENTS, "RGB", tam, 0.5, "none")
    for module in tams_of(model).values():
        nn.init.normal_(module.G[0].weight)
        nn.init.normal_(module.G[3].weight)
        nn.init.normal_(module.L[3].weight)
    nn.init.normal_(model.head.weight, std=0.1)
    nn.init.normal_(model.head.bias)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoints(new_folder: NewFolder) -> dict[str, Path]:
    """A TANet and a TSN for four frames of 64 pixels."""
    folder = new_folder("checkpoints")
    meta = {"class_names": NAMES, "input_size": 64, "num_segments": SEGMENTS, "dataset": "custom"}
    for name, tam in (("tanet", True), ("tsn", False)):
        save_checkpoint(folder / f"{name}.pth.tar", lively("resnet18", tam), meta)
    return {name: folder / f"{name}.pth.tar" for name in ("tanet", "tsn")}


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Three videos, two of which have the same name in different folders."""
    places = ("a/film.mp4", "b/film.mp4", "b/other.mkv")
    for seed, place in enumerate(places):
        (tmp_path / "videos" / place).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "videos" / place, count=16, size=(64, 72), seed=seed)
    return [tmp_path / "videos" / place for place in places]


# The figures agree with the computation


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_kernels_and_importance_are_those_that_made_the_output(arch: str) -> None:
    model = lively(arch)
    passed: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        passed[next(name for name, tam in tams_of(model).items() if tam is module)] = inputs[0].clone(), output.clone()

    for tam in tams_of(model).values():
        tam.register_forward_hook(keep)
    with torch.inference_mode(), watch_tams(model) as watch:
        model(torch.randn(1, SEGMENTS, 3, 32, 32))
    assert list(watch.kernels) == list(watch.importance) == list(passed)
    assert len(passed) == {"resnet18": 8, "resnet50": 16}[arch]
    for block, (x, y) in passed.items():
        kernel, importance = map(torch.from_numpy, (watch.kernels[block], watch.importance[block]))
        assert kernel.shape == (x.shape[1], 3) and importance.shape == (x.shape[1], SEGMENTS)
        assert kernel.sum(1).allclose(torch.ones(len(kernel))) and kernel.std(0).min() > 0.01
        assert distance(by_formula(x, kernel, importance), y) < 1e-5
        assert distance(by_formula(x, kernel.flip(1), importance), y) > 1e-2
        assert distance(by_formula(x, kernel, importance.flip(1)), y) > 1e-2


def distance(one: Tensor, other: Tensor) -> float:
    """The norm of the difference, relative to the norm of `other`."""
    return float((one - other).norm() / other.norm())


def by_formula(x: Tensor, kernel: Tensor, importance: Tensor) -> Tensor:
    """`y[t, c] = Σ_k θ[c, k] · a[c, t+k-1] · x[t+k-1, c]` for one clip, `x [T, C, H, W]`."""
    y = torch.zeros_like(x)
    for t in range(len(x)):
        for k in range(3):
            other = t + k - 1
            if 0 <= other < len(x):
                y[t] += (kernel[:, k] * importance[:, other])[:, None, None] * x[other]
    return y


def test_hooks_are_removed_at_the_end_of_the_context() -> None:
    model = lively("resnet18")
    with watch_tams(model) as watch:
        pass
    model(torch.randn(1, SEGMENTS, 3, 32, 32))
    assert not watch.kernels and not watch.importance


def test_fixed_kernels_take_the_place_of_the_networks_own() -> None:
    model, (one, other) = lively("resnet18"), torch.randn(2, 1, SEGMENTS, 3, 32, 32)
    with torch.inference_mode():
        with watch_tams(model) as watch:
            own = model(one)
        with fixed_kernels(model, watch.kernels):
            assert model(one).allclose(own, atol=1e-6)
            replaced, batch = model(other), model(torch.cat([one, other]))
        assert batch.allclose(torch.cat([own, replaced]), atol=1e-5)
        assert not model(other).allclose(replaced, atol=1e-3)


@pytest.mark.parametrize("name", ["tanet", "tsn"])
@pytest.mark.parametrize("target", [None, 2])
def test_the_class_activation_map_adds_up_to_the_logit(
    name: str, target: int | None, checkpoints: dict[str, Path], videos: list[Path]
) -> None:
    predictor = open_explainer(str(checkpoints[name]), device="cpu")
    video = Video(str(videos[0]), "film")
    clip: Any = ClipsDataset([video], predictor)[0]
    features: list[Tensor] = []
    predictor.model.base_model.layer4.register_forward_hook(lambda *seen: features.append(seen[2].detach()))
    found = explain_clip(predictor, video, clip, target)
    expected = predictor(str(videos[0]))
    np.testing.assert_allclose(found.prediction.logits, expected.logits, rtol=1e-4, atol=1e-5)
    assert found.target == (int(expected.logits.argmax()) if target is None else target)
    head, places = predictor.model.head, features[0].shape[2] * features[0].shape[3]
    by_hand = torch.einsum("tchw,c->thw", features[0], head.weight[found.target]) / (SEGMENTS * places)
    np.testing.assert_allclose(found.cam, by_hand.detach().numpy(), rtol=1e-3, atol=1e-5)
    bias = float(head.bias[found.target])
    assert found.cam.sum() + bias == pytest.approx(float(expected.logits[found.target]), abs=1e-4)


# Variance between videos and between channels


def test_the_variance_of_kernels_is_divided_up() -> None:
    rng = np.random.default_rng(0)
    channel, video = rng.random((1, 50, 3)), rng.random((40, 1, 3))
    nothing = np.zeros((40, 50, 3))
    cases = [
        (channel + nothing, (1, 0, 0)),
        (video + nothing, (0, 1, 0)),
        (channel + video, None),
        (rng.random((40, 50, 3)), (0, 0, 1)),
        (nothing, (1, 0, 0)),
    ]
    for weights, expected in cases:
        spread = kernel_spread("layer1.0", weights.astype(np.float32))
        parts = spread.fixed + spread.common + spread.own
        np.testing.assert_allclose(parts, weights.var(axis=(0, 1)), atol=1e-6)
        assert expected is None or spread.shares() == pytest.approx(expected, abs=0.06)
        np.testing.assert_allclose(spread.change**2, weights.var(axis=0).mean(axis=0), atol=1e-6)
    assert kernel_spread("x", (channel + video).astype(np.float32)).shares()[2] == pytest.approx(0, abs=1e-5)
    single = kernel_spread("x", channel.astype(np.float32))
    assert np.isnan(single.change).all() and np.isnan(single.shares()).all() and not np.isnan(single.mean).any()


# Figures


def test_each_block_has_its_row_under_the_frames_it_belongs_to() -> None:
    rng = np.random.default_rng(0)
    blocks = [f"layer{stage + 1}.{n}" for stage, count in enumerate((3, 4, 6, 3)) for n in range(count)]
    importance = {block: rng.random((16, 8)).astype(np.float32) for block in blocks}
    pixels = rng.integers(0, 255, (8, 20, 20, 3), dtype=np.uint8)
    figure = draw_importance(pixels, list(range(10, 90, 10)), importance)
    panels = figure.axes[: 2 * 17]
    assert [axes.get_ylabel() for axes in panels[2::2]] == blocks
    assert all(axes.get_xlim() == (-0.5, 7.5) for axes in panels)
    assert [text.get_text() for text in panels[-1].get_xticklabels()] == [str(n) for n in range(10, 90, 10)]
    drawn = panels[2].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, np.median(importance["layer1.0"], axis=0))
    kernels = {block: rng.dirichlet((1, 1, 1), 16).astype(np.float32) for block in [*blocks, "layer4.3"]}
    titled = [axes.get_title() for axes in draw_kernels(kernels).axes if axes.get_title()]
    assert titled == [f"{block} · 16 channels" for block in kernels]


def test_similar_channels_are_drawn_next_to_each_other() -> None:
    rising, falling = np.linspace(0, 1, 8), np.linspace(1, 0, 8)
    values = np.stack([rising, falling] * 5).astype(np.float32)
    order = similarity_order(values)
    assert sorted(order) == list(range(10)) and len({int(place) % 2 for place in order[:5]}) == 1
    assert similarity_order(values[:2]).tolist() == [0, 1]


# The tool


def test_one_video(call: Call, tmp_path: Path, checkpoints: dict[str, Path], videos: list[Path]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (out / "explain.json").write_text("old")
    ended = call("tools/explain.py", videos[0], "--weights", checkpoints["tanet"], "--output", out, "--device", "cpu")
    predictor = open_explainer(str(checkpoints["tanet"]), device="cpu")
    best, share = predictor(str(videos[0])).top(1)[0]
    assert f"{best}, {100 * share:.1f} %" in ended.out and "1 of 1 video explained" in ended.out
    pictures = {f"001_film_{what}.png" for what in ("importance", "kernels", "cam")}
    assert {path.name for path in out.iterdir()} == FILES | pictures | {"kernels.csv", "mine.txt"}
    assert (out / "mine.txt").read_text() == "mine"
    summary = json.loads((out / "explain.json").read_text())
    row = summary["videos"][0]
    assert row["prediction"] == best and row["frames"] == [2, 6, 10, 14] and row["label"] is None
    assert len(summary["blocks"]) == 8 and summary["blocks"][0]["share_fixed"] is None
    arrays = np.load(out / "explain.npz")
    assert arrays["kernel/layer4.1"].shape == (1, 512, 3) and arrays["importance/layer1.0"].shape == (1, 64, SEGMENTS)
    assert arrays["cam"].shape == (1, SEGMENTS, 2, 2) and arrays["logits"].shape == (1, len(NAMES))
    page = (out / "explain.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page) and page.count("data:image/png") == 3
    assert "&lt;run&gt;" in page and "<run>" not in page
    assert all(text in page for text in ("Prediction", "Importance of frames", "Kernels", "Where the evidence is"))


def test_frame_folders_and_several_lists_are_explained(
    call: Call, tmp_path: Path, checkpoints: dict[str, Path], videos: list[Path]
) -> None:
    write_frames(tmp_path / "frames/one", 16)
    write_frames(tmp_path / "frames/two", 16)
    (tmp_path / "frames.txt").write_text("frames/one 16 2\n")
    (tmp_path / "videos.txt").write_text("videos/b/film.mp4 3\n")
    call("tools/explain.py", "frames", "--list", "frames.txt", "videos.txt", "--weights", checkpoints["tanet"],
         "--output", "out", "--drawn", 1)  # fmt: skip
    rows = json.loads((tmp_path / "out/explain.json").read_text())["videos"]
    assert {row["name"]: row["label"] for row in rows} == {
        "frames/one": "sit & wait", "frames/two": None, "videos/b/film.mp4": "left",
    }  # fmt: skip
    ended = call("tools/explain.py", "none", "--weights", checkpoints["tanet"], "--output", "x", status=2)
    assert ended.err == "error: none: no such file or folder\n" and not (tmp_path / "x").exists()


def test_several_videos_of_which_one_is_broken(
    call: Call, tmp_path: Path, checkpoints: dict[str, Path], videos: list[Path]
) -> None:
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"nothing")
    lines = ["b/film.mp4 16 3", "broken.mp4 16 1", "a/film.mp4 16 0", "b/other.mkv"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    ended = call(
        "tools/explain.py", "--list", "list.txt", "--root_path", "videos", "--weights", checkpoints["tanet"],
        "--output", "out", "--drawn", 1, "--target", "sit & wait", "--fix_kernels", "-j", 1, status=1,
    )  # fmt: skip
    assert "warning: broken.mp4: not a readable video" in ended.err and "3 of 4 videos explained" in ended.out
    out = tmp_path / "out"
    summary = json.loads((out / "explain.json").read_text())
    assert [row["name"] for row in summary["videos"]] == ["b/film.mp4", "a/film.mp4", "b/other.mkv"]
    assert [row["label"] for row in summary["videos"]] == ["left", "jump", None]
    assert {row["target"] for row in summary["videos"]} == {"sit & wait"}
    assert [failure["path"] for failure in summary["failures"]] == ["broken.mp4"]
    fixed = summary["fixed_kernels"]
    assert fixed["videos"] == 3 and fixed["labelled"] == 2 and 0 < fixed["probability_fixed"] < 1
    with (out / "kernels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 3 and [row["offset"] for row in rows[:3]] == ["-1", "0", "1"]
    arrays = np.load(out / "explain.npz")
    weights = arrays["kernel/layer2.1"].astype(np.float64)
    row = next(row for row in rows if row["block"] == "layer2.1" and row["offset"] == "1")
    share = weights[..., 2].mean(axis=0).var() / weights[..., 2].var()
    assert float(row["share_fixed"]) == pytest.approx(share, rel=1e-4)
    page = (out / "explain.html").read_text()
    assert "Do they adapt?" in page and "broken.mp4" in page and "predictions stay the same" in " ".join(page.split())
    assert page.count("data:image/png") == 3 + 2 and {"kernel_weights.png", "kernel_variance.png"} <= {
        path.name for path in out.iterdir()
    }


def test_a_plain_tsn_has_maps_and_says_that_there_is_no_tam(
    call: Call, tmp_path: Path, checkpoints: dict[str, Path], videos: list[Path]
) -> None:
    call("tools/explain.py", "videos", "--weights", checkpoints["tsn"], "--output", "out", "--max_num", 2)
    assert len(json.loads((tmp_path / "out" / "explain.json").read_text())["videos"]) == 2
    page = (tmp_path / "out" / "explain.html").read_text()
    assert "This network has no TAM" in page and page.count("data:image/png") == 2
    assert not (tmp_path / "out" / "kernels.csv").exists()
    assert not [name for name in np.load(tmp_path / "out" / "explain.npz") if "/" in name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no videos: give files, a folder, or --list"),
        (["nowhere.mp4"], "nowhere.mp4: no such file or folder"),
        (["empty"], "empty: there are no videos or frames in this folder"),
        (["broken.mp4"], "broken.mp4: not a readable video"),
        (["broken.mp4", "--root_path", "x"], "--root_path can only be used with --list"),
        (
            ["broken.mp4", "--target", "fly"],
            "--target fly: no such class, by name or number (0…5); the classes are jump",
        ),
        (["broken.mp4", "--output", "broken.mp4"], "broken.mp4: cannot write to this folder"),
        (["broken.mp4", "--sample", "all"], "argument --sample: invalid choice"),
    ],
)
def test_unusable_input_is_named(
    arguments: list[str], message: str, call: Call, tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    output = [] if "--output" in arguments else ["--output", "out"]
    ended = call("tools/explain.py", *arguments, "--weights", checkpoints["tanet"], *output, status=2)
    assert ended.err.splitlines()[-1].startswith(f"error: {message}")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_class_is_found_by_name_or_number(checkpoints: dict[str, Path]) -> None:
    predictor = open_explainer(str(checkpoints["tanet"]), device="cpu")
    assert find_class("left", predictor) == 3 and find_class("5", predictor) == 5
    with pytest.raises(InputError, match="--target 6"):
        find_class("6", predictor)


def test_dense_models_are_shown_the_middle_of_a_video(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    video = Video(str(write_video(tmp_path / "long.mp4", count=100, size=(64, 64))), "long")
    clip: Any = ClipsDataset([video], open_explainer(str(checkpoints["tanet"]), kind="dense", device="cpu"))[0]
    assert clip.frames.tolist() == [18, 34, 50, 66] and clip.pixels.shape == (SEGMENTS, 3, 64, 64)
    predictor = open_explainer(str(checkpoints["tanet"]), device="cpu")
    with pytest.raises(ValueError, match="one clip"):
        ClipsDataset([video], type(predictor)(**{**vars(predictor), "crops": 3}))


def test_every_tam_of_a_network_is_found() -> None:
    model = lively("resnet18")
    assert list(tams_of(model).values()) == [module for module in model.modules() if isinstance(module, TAM)]
    assert not tams_of(lively("resnet18", tam=False))


@pytest.mark.parametrize("wanted", [None, 8, 16, 40, 160, 500])
def test_a_part_of_the_videos_is_spread_over_all_classes(wanted: int | None) -> None:
    """The classes take turns in this list, so that every tenth line would contain only half of them."""
    spread_over = runpy.run_path(str(ROOT / "tools" / "explain.py"))["spread_over"]
    videos = [Video(Path(f"{number}.mp4"), f"{number}.mp4", number % 8) for number in range(160)]
    found = spread_over(videos, wanted)
    numbers = [int(video.name[:-4]) for video in found]
    assert len(found) == min(wanted or 160, 160) and numbers == sorted(set(numbers))
    count = len(found)
    assert all(place * 160 // count <= number < (place + 1) * 160 // count for place, number in enumerate(numbers))
    assert len({video.label for video in found}) > 4
    assert found == spread_over(videos, wanted)

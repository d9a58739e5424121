"""Reading from file to batch: decoding, and a whole test sample, on one thread."""

from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as F

from benchmarks.published import decode_by_seeking, three_crops
from benchmarks.timing import Row, compare
from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.data.collate import collate_clips
from ops.data.dataloaders import workers_of
from ops.data.datasets import ClipDataset, ClipPipeline
from ops.data.frames import FrameReader, FrameTemplate
from ops.data.images import open_image
from ops.data.lists import Records
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, training_pipeline
from ops.data.pyav_videos import VideoReader
from ops.data.sampling import parse_sample, view_indices
from ops.data.videos import open_video
from ops.data.views import load_views
from ops.models.recognizer import MEAN, STD
from ops.prepare.extract_frames import FrameOptions, extract_video
from ops.prepare.resize_video import ResizeOptions, resize_video

SIZE = 256
SEGMENTS = 8
WINDOW = 64
SHORTEST = 96  # two thirds of it must hold the window


def decode_rows(path: str, folder: Path, rounds: int) -> list[Row]:
    """Rows of decoding alone: the frames of a test, and of a training clip."""
    with open_video(path) as source:
        length = len(source)
    clips = view_indices(length, SEGMENTS, "dense-10")
    window = (length * 2 // 3 - WINDOW + WINDOW // SEGMENTS * np.arange(SEGMENTS))[None]
    found = []
    for what, wanted, published, floor in (
        ("decode 10 clips × 8 frames", clips, "≥ 20", "≤ 1.15"),
        ("decode 8 frames in a 64-frame window", window, "≥ 4", "≤ 1.15"),
    ):
        first = 0 if wanted is clips else _key_frame_before(path, int(wanted.min()))
        times = compare(
            {
                "ours": lambda wanted=wanted: decode(path, wanted),
                "published": lambda wanted=wanted: decode_by_seeking(path, wanted),
                "floor": lambda wanted=wanted, first=first: decode_through(path, first, int(wanted.max())),
            },
            rounds,
        )
        name = "one sequential decode to the last frame" if wanted is clips else "decoding from the key frame before"
        found += [
            Row(what, "a seek per frame", times["ours"], times["published"], published),
            Row(what, name, times["ours"], times["floor"], floor),
        ]
    return found


def sample_rows(path: str, folder: Path, rounds: int) -> list[Row]:
    """Rows of reading one video of a test, dense-10 × 3 crops at 256 pixels."""
    with open_video(path) as source:
        clips = view_indices(len(source), SEGMENTS, "dense-10")

    def published() -> object:
        return three_crops(decode_by_seeking(path, clips), SIZE, list(MEAN["RGB"]), list(STD["RGB"]))

    def floor() -> None:
        for frame in decode(path, clips):
            height, width = frame.shape[-2:]
            F.resize(frame, [SIZE, SIZE * width // height], antialias=True)

    times = compare({"ours": partial(load_sample, path), "published": published, "floor": floor}, rounds)
    what = "one test sample, dense-10 × 3 crops"
    return [
        Row(what, "seeks, Pillow, floats", times["ours"], times["published"], "≥ 15"),
        Row(what, "decode + resize of the distinct frames", times["ours"], times["floor"], "≤ 1.25"),
    ]


def load_sample(path: str) -> object:
    """Load all views of one video in a test, dense-10 × 3 crops at 256 pixels."""
    plan = test_plan_for(ClipShape(SEGMENTS, "RGB", 224), 3, full_res=True)
    return load_views(VideoReader(), path, -1, lambda n: choose_views(n, [SEGMENTS], parse_sample("dense-10"), 1), plan)


def encoded_rows(path: str, folder: Path, rounds: int) -> list[Row]:
    """Rows of a training clip and a test sample, compared with the video re-encoded with a key frame every 16."""
    resize_video(path, "small.mp4", str(folder), ResizeOptions())
    small, recipe = str(folder / "small.mp4"), _recipe()

    def load(path: str) -> None:
        records = Records("", StringArray([path]), np.array([[-1, 0, 1]], np.int32), "")
        dataset = ClipDataset(records, "", VideoReader(), recipe, seed=0, substitute=False)
        for epoch in range(8):
            assert dataset[epoch, 0].pixels is not None

    found = []
    for what, step, parts, target in (
        ("one training clip, re-encoded video", load, 8, "≥ 1"),
        ("one test sample, re-encoded video", load_sample, 1, "≥ reported"),
    ):
        times = compare({"ours": partial(step, small), "original": partial(step, path)}, rounds)
        each = {name: timing.divided(parts) for name, timing in times.items()}
        found.append(Row(what, "the original video", each["ours"], each["original"], target))
    return found


def _recipe() -> ClipPipeline:
    return training_pipeline(ClipShape(SEGMENTS, "RGB", 224), dense=True, mirror=True, partners=np.arange(1))


def frame_rows(path: str, folder: Path, rounds: int) -> list[Row]:
    """Rows of reading eight extracted frames, with this project and with Pillow."""
    extract_video(path, "frames.mp4", str(folder), FrameOptions("jpg"))
    template = FrameTemplate("img_{index:05d}.jpg")
    frames = str(folder / "frames")
    wanted = [20 + 8 * number for number in range(SEGMENTS)]

    def pillow() -> NDArray[np.uint8]:
        images = [open_image(folder / "frames" / template.name(frames, index)) for index in wanted]
        return np.stack([np.array(image.convert("RGB")) for image in images])

    def ours() -> torch.Tensor:
        with FrameReader(template.pattern, template=template).open(frames, 300) as source:
            return source.read(wanted)

    same = np.array_equal(pillow(), ours().permute(0, 2, 3, 1).numpy())
    times = compare({"ours": ours, "pillow": pillow}, rounds)
    height, width = ours().shape[-2:]
    against = f"Pillow, {'the same' if same else 'other'} pixels"
    return [Row(f"8 jpg frames of {width}×{height}", against, times["ours"], times["pillow"], "≥ 1.1")]


def loader_rows(path: str, folder: Path, rounds: int) -> list[Row]:
    """Rows of starting two workers and getting their first batch, for each start method."""
    records = Records("", StringArray([path] * 4), np.tile(np.array([[-1, 0, 1]], np.int32), (4, 1)), "")
    dataset = ClipDataset(records, "", VideoReader(), _recipe(), seed=0, substitute=False)

    def first_batch(method: str) -> None:
        loader: Any = DataLoader(
            dataset, 2, sampler=[(0, n) for n in range(4)], num_workers=2, collate_fn=collate_clips,
            multiprocessing_context=method, persistent_workers=True,
        )  # fmt: skip
        with workers_of(loader):
            next(iter(loader))

    times = compare({method: partial(first_batch, method) for method in ("fork", "forkserver", "spawn")}, rounds)
    what = "two workers and the first batch, fork"
    return [Row(what, method, times["fork"], times[method], "≥ reported") for method in ("forkserver", "spawn")]


def decode(path: str, indices: NDArray[np.int64]) -> list[torch.Tensor]:
    """Read the distinct frames among `indices` with this project."""
    with open_video(path) as source:
        return [frame for _, frame in source.frames(np.unique(indices).tolist())]


def decode_through(path: str, first: int, last: int) -> None:
    """Decode only the packets `first` … `last`, in decoding order."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number, packet in enumerate(container.demux(stream)):
            if number > last:
                break
            if number >= first:
                packet.decode()


def check_length(path: str) -> None:
    """InputError if the video at `path` is too short to be measured."""
    with open_video(path) as source:
        if len(source) < SHORTEST:
            raise InputError(f"{path}: {len(source)} frames, but {SHORTEST} are needed")


def _key_frame_before(path: str, index: int) -> int:
    with av.open(path) as container:
        keys = [n for n, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    return max(key for key in keys if key <= index)


PARTS = {
    "decode": decode_rows,
    "sample": sample_rows,
    "encoded": encoded_rows,
    "frames": frame_rows,
    "workers": loader_rows,
}
"""The measurements by name. Each gets the path of a video and a temporary folder, and returns rows."""

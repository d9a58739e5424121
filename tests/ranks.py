"""The functions that each process of `test_ranks.py` runs, and a function that starts the processes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import set_forkserver_preload
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

from ops.common import distributed
from ops.common.device import Compute
from ops.common.errors import InputError
from ops.data.collate import ClipBatch
from ops.data.dataloaders import TrainSampler
from ops.data.decoders import DECODERS, video_reader
from ops.models.recognizer import Recognizer, build_model
from ops.prepare.executors import SHARED_IMPORTS
from ops.testing.evaluate import run_evaluation
from ops.testing.options import test_parser as make_test_parser
from ops.training.options import train_parser as make_train_parser
from ops.training.step_log import StepLog
from ops.training.train import run_training
from ops.training.train_step import accumulate

CPU = Compute(torch.device("cpu"))
COUNTS = (1, 2, 3, 5, 7)
CLIPS = 8


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, and stay through all runs: torchrun's processes cannot connect a second time."""
    distributed.start(CPU.device)
    leave, distributed.stop = distributed.stop, lambda: None
    yield
    distributed.stop = leave
    leave()


def run_test_script(weights: str, videos: str, output: Path, *flags: str) -> None:
    """Test the list `videos` of the current folder."""
    args = ["custom", "--weights", weights, "--test_list", videos, "--root_path", ".", "-j", "0", "--input_size", "32"]
    args += ["--device", "cpu", "--output", str(output), *flags]
    run_evaluation(make_test_parser(None, tuple(DECODERS)).parse_args(args), video_reader)


def score_list(videos: str, output: Path, *flags: str) -> None:
    """Test the list `videos` with three crops; the scores are in a file beside `output`."""
    run_test_script("w.pth.tar", videos, output, "--num_class", "5", "--save_scores", f"{output}.npz",
                    "--test_crops", "3", *flags)  # fmt: skip


def score_lists(folder: Path) -> None:
    """Test the lists of 1, 2, 3, 5 and 7 videos."""
    with joined():
        for count in COUNTS:
            score_list(f"{count}.txt", folder / f"{count}_by_{distributed.world_size()}")


def score_automatically(folder: Path) -> None:
    """Test a list in the runtime that "auto" chooses: in all processes, in one less, and with a failure in one."""
    from ops.models import runtimes
    from ops.models.onnx_operations import OPERATIONS

    installed = runtimes.is_installed
    runtimes.WORTH_STARTING, runtimes.AUTOMATIC = {"off": 0}, {"off": ("onnxruntime",)}
    with joined():
        several, last = distributed.world_size() > 1, distributed.rank() == distributed.world_size() - 1
        for what in ("everywhere", *(["missing", "failing"] if several else [])):
            runtimes.is_installed = (lambda name: name == "torch") if last and what == "missing" else installed
            if last and what == "failing":
                del OPERATIONS["max_pool2d_with_indices"]
            score_list("7.txt", folder / f"{what}_by_{distributed.world_size()}", "--full_res")


def test_other_files(folder: Path) -> None:
    """Test with another list, then with another checkpoint, in each process, and write the errors to files."""
    with joined():
        rank = distributed.rank()
        for what, (weights, videos) in {"list": ("0", f"{rank}"), "checkpoint": (f"{rank}", "0")}.items():
            try:
                run_test_script(f"w{weights}.pth.tar", f"l{videos}.txt", folder / what)
            except InputError as error:
                (folder / f"{what}.{rank}").write_text(str(error))


TRAIN = ["custom", "RGB", "--val_list", "l0.txt", "--root_path", ".", "--num_class", "2", "--arch", "resnet18"]
TRAIN += ["--pretrain", "none", "--num_segments", "3", "--input_size", "32", "--device", "cpu", "-b", "2", "-j", "0"]
TRAIN += ["--epochs", "2"]


def train_on_other_files(folder: Path) -> None:
    """Train with another list, checkpoint or setting in each process, and write the errors to files."""
    with joined():
        rank = distributed.rank()
        for what, flags in {
            "lists": ["--train_list", f"l{rank}.txt"],
            "checkpoint": ["--train_list", "l0.txt", "--resume", f"c{rank}.pth.tar"],
            "lr": ["--train_list", "l0.txt", "--lr", f"0.{rank + 1}"],
        }.items():
            args = make_train_parser(None, tuple(DECODERS)).parse_args([*TRAIN, *flags, "--store_name", what])
            try:
                run_training(args, video_reader)
            except InputError as error:
                (folder / f"{what}.{rank}").write_text(str(error))


def train_with_mixing(folder: Path) -> None:
    """Train with --mixup and --cutmix, with and without an interruption, and once without these flags."""
    mixing = ["--mixup", "0.4", "--cutmix", "1"]
    _train(["whole", *mixing], ["parts", *mixing, "--max_steps", "3"], ["parts", *mixing], ["plain"])


def train_with_several_labels(folder: Path) -> None:
    """Train with --multi_label, without and with an interruption."""
    several = [
        "--multi_label",
        "--train_list",
        "l.txt",
        "--val_list",
        "l.txt",
        "--num_class",
        "4",
        "--num_segments",
        "2",
    ]
    several += ["--keep_last_batch", "--epochs", "1"]
    _train(["whole", *several], ["parts", *several, "--max_steps", "1"], ["parts", *several])


def _train(*runs: list[str]) -> None:
    """Train each of `runs`, whose first word is its name, in batches of four."""
    with joined():
        for flags in runs:
            run = [*TRAIN, "-b", "4", "--train_list", "l0.txt", "--resume", "auto", "--store_name", *flags]
            run_training(make_train_parser(None, tuple(DECODERS)).parse_args(run), video_reader)
            distributed.barrier()  # the next run looks for the checkpoint that rank 0 saves


def log_steps(folder: Path) -> None:
    """Log a step in which the first process had two clips with a mean loss of 1, and the second one clip with 4."""
    distributed.start(CPU.device)
    rank, sampler = distributed.rank(), TrainSampler(3, 4, 0, distributed.rank(), 2, keep_last=True)
    log = StepLog(1, folder if distributed.is_main() else None)
    log.observe(torch.tensor([1.0, 4.0][rank]), torch.tensor(7.0))
    log.write(1, 0, 0.1, sampler.weight(0), 0.0)
    log.close()
    distributed.stop()


def network() -> Recognizer:
    """A network in double precision with frozen batch norms, so that clips do not affect each other."""
    torch.manual_seed(0)
    return build_model("resnet18", 5, 4, dropout=0).double().eval()


def batch(rank: int, world_size: int) -> ClipBatch:
    """A process's share of the eight clips."""
    pixels = torch.randn(CLIPS, 4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    share = slice(rank * CLIPS // world_size, (rank + 1) * CLIPS // world_size)
    labels = torch.arange(CLIPS) % 5
    return ClipBatch(pixels[share], labels[share], list(range(CLIPS))[share], CLIPS // world_size)


def gradients(
    model: Recognizer, network: nn.Module, share: ClipBatch, parts: int, compute: Compute = CPU, weight: float = 1.0
) -> dict[str, Tensor]:
    """The gradients of the mean loss over all clips, on the CPU."""
    model.zero_grad()
    accumulate(network, share, compute.scaler(), compute, parts, weight)
    return {name: value.grad.cpu().clone() for name, value in model.named_parameters() if value.grad is not None}


def gradients_of_last_batches(
    model: Recognizer, parallel: nn.Module, compute: Compute
) -> dict[int, list[dict[str, Tensor]]]:
    """Gradients of incomplete batches of 3 clips and of 1 clip, in one and in two parts.

    With two processes, one of them has only 1 clip and 0 clips.
    """
    everything, found = batch(0, 1), {}
    for length in (3, 1):
        sampler = TrainSampler(length, CLIPS, 0, distributed.rank(), distributed.world_size(), keep_last=True)
        (clips,) = [[index for _, index in step] for step in sampler]
        share = ClipBatch(everything.pixels[clips], everything.labels[clips], clips, len(clips))
        found[length] = [gradients(model, parallel, share, parts, compute, sampler.weight(0)) for parts in (1, 2)]
    return found


def save_gradients_by_nccl(folder: Path) -> None:
    """Call `save_gradients` with one GPU per process."""
    device = torch.device("cuda", distributed.local_rank())
    torch.cuda.set_device(device)
    save_gradients(folder, Compute(device))


def save_gradients(folder: Path, compute: Compute = CPU) -> None:
    """Save the averaged gradients and the number of times that processes exchanged them."""
    distributed.start(compute.device)
    model, exchanged = network(), [0]
    compute.prepare(model)
    parallel = DistributedDataParallel(model)

    def count_and_average(_: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        exchanged[0] += 1
        tensor = bucket.buffer() / distributed.world_size()
        work = torch.distributed.all_reduce(tensor, async_op=True).get_future()
        return work.then(lambda done: done.value()[0])

    parallel.register_comm_hook(None, count_and_average)
    found = {}
    for parts in (1, 1, 2, 4):  # DDP rebuilds its buckets after the first pass
        exchanged[0] = 0
        share = batch(distributed.rank(), distributed.world_size())
        found[parts] = gradients(model, parallel, share, parts, compute), exchanged[0]
    last = gradients_of_last_batches(model, parallel, compute)
    if distributed.is_main():
        torch.save(found, folder / "gradients.pt")
        torch.save(last, folder / "last.pt")
    distributed.stop()


def start(what: str, folder: Path, processes: int) -> None:
    """Run a function of this module in several processes, with the environment variables that torchrun sets."""
    set_forkserver_preload(list(SHARED_IMPORTS))  # PyTorch is imported only once for all processes
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start_processes(_process, (what, folder, processes, port), processes, start_method="forkserver")


def _process(rank: int, what: str, folder: Path, processes: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.chdir(folder)
    torch.set_num_threads(1)
    globals()[what](folder)

"""Runs in each of several processes, started by torchrun from `test_ranks.py`: `python ranks.py WHAT FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ops import distributed
from ops.batches import ClipBatch
from ops.compute import Compute
from ops.decoders import DECODERS, video_reader
from ops.engine import accumulate
from ops.evaluate import evaluate
from ops.models import Recognizer, build_model
from ops.opts import test_parser as make_test_parser

CPU = Compute(torch.device("cpu"))
COUNTS = (1, 2, 3, 5, 7)
CLIPS = 8


def score_lists(folder: Path) -> None:
    """Test the lists of 1, 2, 3, 5 and 7 videos."""
    distributed.start(CPU.device)  # once: torchrun's processes cannot meet a second time
    leave, distributed.stop = distributed.stop, lambda: None
    for count in COUNTS:
        output = folder / f"{count}_by_{distributed.world_size()}"
        flags = ["custom", "--weights", "w.pth.tar", "--test_list", f"{count}.txt", "--root_path", ".", "-j", "0"]
        flags += ["--input_size", "32", "--device", "cpu", "--num_class", "5", "--output", str(output)]
        flags += ["--save_scores", f"{output}.npz", "--test_crops", "3"]
        evaluate(make_test_parser(None, tuple(DECODERS)).parse_args(flags), video_reader)
    distributed.stop = leave
    leave()


def network() -> Recognizer:
    """A network in double precision whose batch norms are frozen, so that a clip does not see its neighbours."""
    torch.manual_seed(0)
    return build_model("resnet18", 5, 4, dropout=0).double().eval()


def batch(rank: int, world_size: int) -> ClipBatch:
    """A process's share of the eight clips."""
    pixels = torch.randn(CLIPS, 4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    share = slice(rank * CLIPS // world_size, (rank + 1) * CLIPS // world_size)
    labels = torch.arange(CLIPS) % 5
    return ClipBatch(pixels[share], labels[share], list(range(CLIPS))[share], CLIPS // world_size)


def gradients(model: Recognizer, network: nn.Module, share: ClipBatch, parts: int) -> dict[str, Tensor]:
    """Those of the mean loss over all clips."""
    model.zero_grad()
    accumulate(network, share, CPU.scaler(), CPU, parts)
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def save_gradients(folder: Path) -> None:
    """Save the gradients that processes agree on, and how often they exchanged them."""
    distributed.start(CPU.device)
    model, exchanged = network(), [0]
    parallel = DistributedDataParallel(model)

    def count_and_average(_: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        exchanged[0] += 1
        tensor = bucket.buffer() / distributed.world_size()
        work = torch.distributed.all_reduce(tensor, async_op=True).get_future()
        return work.then(lambda done: done.value()[0])

    parallel.register_comm_hook(None, count_and_average)
    found = {}
    for parts in (1, 1, 2, 4):  # after the first time gradients are put together anew
        exchanged[0] = 0
        share = batch(distributed.rank(), distributed.world_size())
        found[parts] = gradients(model, parallel, share, parts), exchanged[0]
    if distributed.is_main():
        torch.save(found, folder / "gradients.pt")
    distributed.stop()


if __name__ == "__main__":
    {"score_lists": score_lists, "save_gradients": save_gradients}[sys.argv[1]](Path(sys.argv[2]))

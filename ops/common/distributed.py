"""Helpers for distributed training, which also work in a single process.

Processes are started by `torchrun`, whose environment variables give each its rank, or by `launch`, which runs
torchrun from here.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ops.common.errors import InputError
from ops.common.ranks import is_main as is_main
from ops.common.ranks import local_rank as local_rank
from ops.common.ranks import rank as rank
from ops.common.ranks import world_size as world_size

SIGNALLED = 128
"""A shell reports a process that was ended by a signal with this exit status plus the signal's number."""


def start(device: torch.device) -> None:
    """Join the other processes, if there are any: NCCL between GPUs, gloo otherwise.

    After a restart by torchrun the processes use a new prefix in the store: it still holds the addresses of processes
    that died, and a process that connects to one of those waits for half an hour.
    """
    if world_size() > 1 and not dist.is_initialized():
        store, number, size = next(rendezvous("env://"))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        backend, own = ("nccl", device) if device.type == "cuda" else ("gloo", None)
        shared = PrefixStore(attempt, store)
        dist.init_process_group(backend, store=shared, rank=number, world_size=size, device_id=own)


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, on each of them."""
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
    return values


def any_rank(flag: Tensor) -> Tensor:
    """Whether `flag`, a boolean scalar tensor, is true in any process; the same in all, and still on its device."""
    if dist.is_initialized():
        flag = flag.int()
        dist.all_reduce(flag, dist.ReduceOp.MAX)
    return flag.bool()


def gather_objects(value: Any) -> list[Any]:
    """The `value` of each process, in order of rank, on each of them."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def check_same(facts: Mapping[str, Any]) -> None:
    """Raise InputError in all processes, naming the differences, unless all were given the same `facts`."""
    shares = gather_objects(dict(facts))
    for number, share in enumerate(shares):
        differing = [name for name in facts if share[name] != shares[0][name]]
        if differing:
            raise InputError(f"process {number} and process 0 were given different settings: {', '.join(differing)}")


def share_buffers(model: nn.Module) -> None:
    """Copy the buffers of the first process to all others, so that all evaluate with the same batch-norm statistics."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def launch(processes: int, script: str, arguments: Sequence[str]) -> int:
    """Run `script` with `arguments` in several processes on this machine, by torchrun; returns its exit status.

    torchrun forwards signals to its processes and waits for them; then it raises.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException  # slow to import
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser as torchrun_parser
    from torch.distributed.run import run as torchrun

    options = ["--standalone", f"--nproc-per-node={processes}", script, *arguments]
    try:
        settings = torchrun_parser().parse_args(options)
        settings.signals_to_handle = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
        torchrun(settings)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        failure = min(error.failures.values(), key=lambda failed: failed.timestamp)
        sys.stderr.write(f"error: process {failure.local_rank} ended with exit status {failure.exitcode}\n")
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException as error:
        sys.stderr.write(f"stopped by signal {int(error.sigval)}\n")
        return SIGNALLED + int(error.sigval)
    return 0

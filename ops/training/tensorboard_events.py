"""The TensorBoard files of a training run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from ops.common.errors import InputError


class EventFile:
    """A TensorBoard file in `folder`, written synchronously: a writer thread would not report a full disk.

    With a `first` step, TensorBoard hides events of earlier files in the folder from that step on. InputError if the
    file cannot be written.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._folder = folder
        with self._written():
            self._writer = EventsWriter(str(folder / "events"))
            if first:  # hides what an earlier run logged from this step on
                start = SessionLog(status=SessionLog.START)
                self._writer.write_event(Event(step=first, session_log=start, wall_time=time.time()))
            self._writer.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars and flush them."""
        with self._written():
            for name, value in values.items():
                summary = scalar(name.replace("_", "/", 1), value)
                self._writer.write_event(Event(step=step, summary=summary, wall_time=time.time()))
            self._writer.flush()

    def close(self) -> None:
        """Close the file; everything has already been written."""
        with suppress(OSError, ValueError):
            self._writer.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self._folder}: the TensorBoard file cannot be written ({reason})") from error

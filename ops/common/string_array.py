"""A compact sequence of many strings."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


class StringArray(Sequence[str]):
    """Many short strings in one block of bytes: each takes its length plus 8 bytes; a `str` takes about 50 more."""

    def __init__(self, texts: Iterable[str]) -> None:
        block, ends = bytearray(), array("q", [0])
        for text in texts:
            block += text.encode("utf-8", "surrogateescape")
            ends.append(len(block))
        self._block, self._ends = bytes(block), np.frombuffer(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # one at a time, no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._block[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


def hash_of(text: str) -> int:
    """A 64-bit hash of a text, to compare many cheaply."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little")

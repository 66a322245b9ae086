"""`Ids`: the ids of a data set's samples, a tuple of strings in its behaviour and one column of text in memory."""

from __future__ import annotations

import mmap
import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from tempfile import TemporaryFile
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError

HELD = 64 << 20
"""Bytes of a column up to which it is held in memory; a larger one stands in a temporary file."""
CHUNK = 1 << 13
"""Ids that are made strings at once."""
_CODEC = "utf-8", "surrogatepass"  # a file's name may hold bytes that are no UTF-8, as surrogates


class Ids(Sequence[str]):
    """Strings as a tuple gives them: `ids[i]`, slices, `len`, iteration, `in`, `+`, `==` and `hash`.

    They take less than half of a tuple's memory. An id is a string only while somebody holds it. A slice is again
    `Ids`, equal to the tuple's slice, and copies nothing. Of more than `HELD` bytes the column stands in a temporary
    file (in `TMPDIR`) that is mapped into memory and ends with the process: the system reads its pages as they are
    used, and takes them back where memory is short.

    Args:
        ends: int64 `[N + 1]`; id i is the bytes `text[ends[i]:ends[i + 1]]`.
        text: uint8, UTF-8.

    >>> ids = Ids.of(["a", "b", "c"])
    >>> ids[-1], ids[:2] == ("a", "b"), len(ids), "b" in ids, [*ids]
    ('c', True, 3, True, ['a', 'b', 'c'])
    """

    __slots__ = ("ends", "text")

    def __init__(self, ends: NDArray[np.int64], text: NDArray[np.uint8]) -> None:
        self.ends, self.text = ends, text

    @classmethod
    def of(cls, names: Iterable[str]) -> Ids:
        """The column of some strings, which are read once and not kept.

        Raises:
            DataError: there is no room for a temporary file.
        """
        return names if isinstance(names, Ids) else cls.joined(map(_encode, _chunks(names)))

    @classmethod
    def joined(cls, parts: Iterable[tuple[NDArray[np.int64], bytes]]) -> Ids:
        """A column of several parts.

        Args:
            parts: of each the lengths of its ids in bytes, int64 `[n]`, and the bytes of them all in UTF-8.

        Raises:
            DataError: there is no room for a temporary file.
        """
        ends, text, last = _Buffer(), _Buffer(), 0
        ends.write(np.zeros(1, np.int64).tobytes())
        for lengths, data in parts:
            own = lengths.cumsum() + last
            last = int(own[-1]) if len(own) else last
            ends.write(own.astype(np.int64, copy=False).tobytes())
            text.write(data)
        return cls(ends.array(np.int64), text.array(np.uint8))

    def take(self, rows: NDArray[np.int64]) -> Ids:
        """The ids at some places, int64 `[n]` from 0 to N - 1, in that order."""
        return self.joined(self._taken(rows[a : a + CHUNK]) for a in range(0, len(rows), CHUNK))

    def _taken(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], bytes]:
        first, lengths = self.ends[rows], self.ends[rows + 1] - self.ends[rows]
        own = np.arange(lengths.sum()) + np.repeat(first - lengths.cumsum() + lengths, lengths)
        return lengths, self.text[own].tobytes()

    def hashes(self) -> NDArray[np.int64]:
        """Python's hash of each id, int64 `[N]`: another one in each process."""
        return np.fromiter(map(hash, self), np.int64, len(self))

    def places(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Where each of some names stands first, int64 `[n]`, -1 where it is none of these ids."""
        own, asked = self.hashes(), Ids.of(names)
        order = np.argsort(own, kind="stable")
        own, sought = own[order], asked.hashes()
        if (own[1:] == own[:-1]).any():  # an id stands twice, or, hardly ever, two have one hash
            known: dict[str, int] = {}
            for place, name in enumerate(self):
                known.setdefault(name, place)
            return np.fromiter((known.get(name, -1) for name in asked), np.int64, len(asked))
        at = np.minimum(np.searchsorted(own, sought), len(own) - 1) if len(own) else np.zeros(len(asked), np.int64)
        found = np.where(own[at] == sought, order[at], -1) if len(own) else at - 1
        same = (place >= 0 and self[place] == name for place, name in zip(found.tolist(), asked, strict=True))
        return np.where(np.fromiter(same, np.bool_, len(asked)), found, -1)

    def pieces(self) -> Iterator[list[str]]:
        """All ids in order, some thousands at a time."""
        for first in range(0, len(self), CHUNK):
            ends = self.ends[first : first + CHUNK + 1]
            data, places = self.text[ends[0] : ends[-1]].tobytes(), (ends - ends[0]).tolist()
            if data.isascii():
                line = data.decode("ascii")
                yield [line[a:b] for a, b in pairwise(places)]
            else:
                yield [data[a:b].decode(*_CODEC) for a, b in pairwise(places)]

    @override
    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    @override
    def __getitem__(self, place: int | slice) -> str | Ids:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            return Ids(self.ends[start : max(start, stop) + 1], self.text)
        if not -len(self) <= (index := operator.index(place)) < len(self):
            raise IndexError("id index out of range")
        index %= len(self)
        return self.text[self.ends[index] : self.ends[index + 1]].tobytes().decode(*_CODEC)

    @override
    def __iter__(self) -> Iterator[str]:
        for piece in self.pieces():
            yield from piece

    @override
    def __eq__(self, other: object) -> bool:
        if isinstance(other, Ids):
            if len(self) != len(other):
                return False
            return all(
                np.array_equal(np.diff(self.ends[a : a + CHUNK + 1]), np.diff(other.ends[a : a + CHUNK + 1]))
                and np.array_equal(self._bytes(a), other._bytes(a))
                for a in range(0, len(self), CHUNK)
            )
        if isinstance(other, tuple):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    def _bytes(self, first: int) -> NDArray[np.uint8]:
        ends = self.ends[first : first + CHUNK + 1]
        return self.text[ends[0] : ends[-1]]

    @override
    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: tuple[str, ...] | Ids) -> tuple[str, ...]:
        return (*self, *other)

    def __radd__(self, other: tuple[str, ...]) -> tuple[str, ...]:
        return (*other, *self)

    @override
    def __repr__(self) -> str:
        return "".join(self.repr_pieces())

    def repr_pieces(self) -> Iterator[str]:
        """The text of the tuple, a piece at a time."""
        yield "("
        for number, piece in enumerate(self.pieces()):
            yield (", " if number else "") + ", ".join(map(repr, piece))
        yield ",)" if len(self) == 1 else ")"

    @override
    def __reduce__(self) -> tuple[type[Ids], tuple[Any, Any]]:
        return Ids, (np.array(self.ends - self.ends[0]), np.array(self.text[self.ends[0] : self.ends[-1]]))


class _Buffer:
    """Bytes that are written one after the other, in a temporary file where they are more than `HELD`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        if self._file is None and len(self._held) + len(data) <= HELD:
            self._held += data
            return
        try:
            if self._file is None:
                self._file = TemporaryFile()  # noqa: SIM115
                self._file.write(self._held)
                self._held = bytearray()
            self._file.write(data)
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"no room for the ids of the samples ({why}): set TMPDIR to a folder with room") from None

    def array(self, kind: type[Any]) -> NDArray[Any]:
        if self._file is None:
            return np.frombuffer(memoryview(self._held).toreadonly(), kind)
        with self._file as file:
            file.flush()
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), kind)


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _encode(names: list[str]) -> tuple[NDArray[np.int64], bytes]:
    if (text := "".join(names)).isascii():
        return np.fromiter(map(len, names), np.int64, len(names)), text.encode()
    data = [name.encode(*_CODEC) for name in names]
    return np.fromiter(map(len, data), np.int64, len(names)), b"".join(data)

"""`wds:PATTERN`: local tar shards in WebDataset's form: consecutive files with one key make a sample.

Read with the standard library: the package `webdataset` streams without a way back, and takes a cut shard for a whole
one. Here every entry has its place in the tar file, so any order is possible.
"""

from __future__ import annotations

import glob
import re
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, check_bytes, looks_like
from unshaken.data.folder import EXTENSIONS
from unshaken.data.labels import labels_from, read_classes
from unshaken.data.spec import Options, existing, is_bomb, reason_of

_IMAGES = {e.removeprefix(".") for e in EXTENSIONS}
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}|\{([^{}]*,[^{}]*)\}")
_BLOCK = 512
_LONGEST_LABEL = 1024
"""Bytes of a label."""
MOST_SHARDS = 100_000
"""Files that a pattern may stand for."""


@dataclass(slots=True)
class _Sample:
    key: str
    shard: int
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)  # extension to place and size in the tar file
    label: str | None = None


class ShardDataset(Dataset):
    """Samples of tar files in their order; an id is the key, the common part of a sample's file names."""

    def __init__(self, shards: list[Path], options: Options) -> None:
        self._shards, self._lock = shards, threading.Lock()
        self._samples = [s for n, shard in enumerate(shards) for s in _samples_of(shard, n, options.spec)]
        self._open: tuple[int, tarfile.TarFile] | None = None
        classes = read_classes(Path(options.classes), options.spec) if options.classes else ()
        labels, classes, bad = labels_from(_column([s.label for s in self._samples]), classes, options.spec)
        ids = (s.key for s in self._samples)
        root = str(shards[0].parent)
        super().__init__(ids=ids, labels=labels, classes=classes, root=root, options=options, bad=bad)

    @override
    def fetch(self, index: int) -> bytes:
        sample = self._samples[index]
        found = [k for k in sample.fields if k.rpartition(".")[2] in _IMAGES]
        if len(found) != 1:
            names = ", ".join(sorted(sample.fields))
            raise BadImage(f"{len(found) or 'no'} fields with an image's extension among {names}")
        place, size = sample.fields[found[0]]
        check_bytes(size)
        try:
            with self._lock:
                return _read(self._tar(sample.shard), place, size)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise BadImage(f"its place in the shard cannot be read: {reason_of(error)}") from error

    @override
    def content(self) -> Iterable[object]:
        for path in self._shards:
            found = path.stat()
            yield path.name, found.st_size, found.st_mtime_ns
        yield self.ids

    def close(self) -> None:
        """Close the shard that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __copy__(self) -> Self:
        """A data set with the same entries that opens the shards for itself."""
        other = type(self).__new__(type(self))
        other.__dict__ |= {**self.__dict__, "_open": None, "_lock": threading.Lock()}
        return other

    def __del__(self) -> None:
        if getattr(self, "_open", None) is not None:
            self.close()

    def _tar(self, shard: int) -> tarfile.TarFile:
        if self._open is None or self._open[0] != shard:
            self.close()
            self._open = shard, tarfile.open(self._shards[shard])  # noqa: SIM115
        return self._open[1]


def open_shards(target: str, options: Options) -> ShardDataset:
    """Open tar shards; `{000..007}`, `{a,b}` and `*` in the pattern are spread out.

    A sample's image is its one field with an image's extension, its label the field `cls` (a whole number or a name).

    Raises:
        DataError: a shard is absent, remote, cut short or no tar file; or a key has two files of one extension.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", target):
        raise DataError(f"data {options.spec!r}: shards are read from local files only; download them first")
    shards: list[Path] = []
    for name in _spread(target, options.spec):
        names = sorted(glob.glob(name)) if "*" in name else [name]
        if not names:
            raise DataError(f"data {options.spec!r}: no file fits {name!r}")
        shards += [existing(n, options.spec, folder=False) for n in names]
    return ShardDataset(shards, options)


def _spread(pattern: str, spec: str) -> list[str]:
    """Expand a pattern that stands for a sensible number of files; see `spread`."""
    if len(pattern) > 4096:
        raise DataError(f"data {spec[:80]!r}...: the pattern has {len(pattern):,} characters; 4,096 are the most")
    count = 1
    for found in _RANGE.finditer(pattern):
        first, last, names = found.groups()
        if names is None and int(last[:4000]) < int(first[:4000]):
            raise DataError(f"data {spec!r}: {found[0]} is no range that rises: write the smaller number first")
        count *= names.count(",") + 1 if names else int(last[:4000]) - int(first[:4000]) + 1
        if count > MOST_SHARDS:
            raise DataError(f"data {spec!r}: the pattern stands for more than {MOST_SHARDS:,} files: name fewer")
    return spread(pattern)


def spread(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for.

    >>> spread("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last, names = found.groups()
    parts = names.split(",") if names else [f"{i:0{len(first)}}" for i in range(int(first), int(last) + 1)]
    return [pattern[: found.start()] + part + rest for part in parts for rest in spread(pattern[found.end() :])]


def _samples_of(shard: Path, number: int, spec: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for key, extension, place, size, label in _files_of(shard, spec):
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key, number)
        if extension in sample.fields:
            raise DataError(f"data {spec!r}: shard {shard.name} holds {key}.{extension} twice")
        sample.fields[extension] = place, size
        sample.label = label if label is not None else sample.label
    if sample is not None:
        yield sample


def _files_of(shard: Path, spec: str) -> Iterator[tuple[str, str, int, int, str | None]]:
    """Key, extension, place, size, and the text where the file is a label."""
    try:
        with tarfile.open(shard) as tar:
            end, there = 0, shard.stat().st_size
            for member in tar:
                if is_bomb(member.offset_data + member.size, there):
                    raise DataError(
                        f"data {spec!r}: shard {shard.name} claims {member.offset_data + member.size:,} bytes in a "
                        f"file of {there:,}, which no images make: get it again"
                    )
                end = member.offset_data + (-(-member.size // _BLOCK) * _BLOCK if member.isreg() else 0)
                name = _NAME.fullmatch(member.name)
                if member.isreg() and name is not None and not re.match(r"__[^/]*__(\.|$|/)", member.name):
                    extension = name[2].lower()
                    place, size = member.offset_data, member.size
                    label = None
                    if extension == "cls":
                        if size > _LONGEST_LABEL:
                            raise DataError(
                                f"data {spec!r}: shard {shard.name}: the label {member.name!r} has {size:,} bytes; "
                                f"{_LONGEST_LABEL} are the most"
                            )
                        label = _read(tar, place, size).decode("utf-8", "replace").strip()
                    yield name[1], extension, place, size, label
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
            if _read(tar, end, _BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("it is cut short: the mark of its end is missing")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        with shard.open("rb") as file:
            what = looks_like(file.read(_BLOCK))
        why = f"is {what}" if what else f"cannot be read: {reason_of(error)}"
        raise DataError(f"data {spec!r}: shard {shard.name} {why}") from error


def _read(tar: tarfile.TarFile, place: int, size: int) -> bytes:
    file: Any = tar.fileobj
    file.seek(place)
    data: bytes = file.read(size)
    if len(data) < size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def _column(labels: list[str | None]) -> Any:
    """Whole numbers as numbers where all are, else names."""
    present = [v for v in labels if v is not None]
    if present and all(re.fullmatch(r"-?[0-9]{1,18}", v) for v in present):
        return pa.array([None if v is None else int(v) for v in labels], pa.int64())
    return pa.array(labels, pa.string())

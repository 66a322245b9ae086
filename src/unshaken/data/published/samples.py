"""Clean samples with their corrupted forms: what `cifar-c:DIR` and `imagenet-c:DIR` are opened as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source
from unshaken.data.spec import Options

SEVERITIES = (1, 2, 3, 4, 5)


class Files(ABC):
    """Files of one set of samples under several corruptions, each at five severities.

    Attributes:
        names: of the corruptions, sorted.
    """

    names: Sequence[str]

    @abstractmethod
    def at(self, name: str, severity: int) -> Dataset:
        """The samples under a corruption, the same ones in the same order for each."""

    @abstractmethod
    def marks(self) -> Iterable[object]:
        """Whatever changes when a file changes."""


class Selection(Dataset):
    """Some samples of a data set, in an order and under ids of their own.

    Args:
        base: the data set.
        rows: indices in it, int64 `[N]`.
        ids: one a sample.
        options: of the SPEC.
    """

    def __init__(self, base: Dataset, rows: NDArray[np.int64], ids: Sequence[str], options: Options) -> None:
        super().__init__(
            ids=ids,
            labels=None if base.labels is None else base.labels[rows],
            classes=base.classes,
            root=base.root,
            options=options,
            bad={i: base.bad[row] for i, row in enumerate(rows.tolist()) if row in base.bad},
        )
        self._base, self._rows = base, rows
        self.true_labels = None if base.true_labels is None else base.true_labels[rows]
        self.labels_version = base.labels_version

    @override
    def columns(self) -> dict[str, list[Any]]:
        return {name: [values[row] for row in self._rows] for name, values in self._base.columns().items()}

    @override
    def fetch(self, index: int) -> Source:
        return self._base.fetch(int(self._rows[index]))

    @override
    def content(self) -> Iterable[object]:
        return self._base.fingerprint, self._rows.tobytes(), self.ids


class PublishedDataset(Selection):
    """Clean samples, and files of the same samples under corruptions.

    Args:
        clean: the data set of clean samples.
        rows: where each sample stands in it, int64 `[N]`.
        files: of the corrupted forms of these samples, in this order.
        options: of the SPEC; a `size` or `mode` holds for clean samples and files alike.
    """

    def __init__(self, clean: Dataset, rows: NDArray[np.int64], files: Files, options: Options) -> None:
        own = replace(options, size=options.size or clean.options.size, mode=options.mode or clean.options.mode)
        super().__init__(clean, rows, clean.ids.take(rows), own)
        self._files = files
        self._known: dict[tuple[str, int], Dataset] = {}

    @override
    def content(self) -> Iterable[object]:
        return *super().content(), *self._files.marks()

    @override
    def corrupted(self, name: str, severity: int) -> Dataset | None:
        if name not in self._files.names:
            return None
        if (name, severity) not in self._known:
            part = self._files.at(name, severity)
            self._known[name, severity] = Selection(part, np.arange(len(self)), self.ids, self.options)
        return self._known[name, severity]


def named_as(clean: Dataset, rows: NDArray[np.int64], alone: Dataset) -> Dataset:
    """Samples of one part of the files under the ids, labels and class names of the clean ones.

    Args:
        clean: labelled.
        rows: where each sample stands in it, int64 `[N]`.
        alone: the part.
    """
    found = Selection(alone, np.arange(len(rows)), clean.ids.take(rows), alone.options)
    return found if clean.labels is None else found.renumbered(clean.labels[rows], clean.classes)


def one_cell(files: Files, raw: tuple[str | None, str | None], spec: str) -> tuple[str, int] | None:
    """The corruption and the severity that a SPEC names to read them alone; None where it names neither.

    Args:
        files: that are there.
        raw: the options `corruption` and `severity`.
        spec: for messages.

    Raises:
        DataError: only one is named, or there is no such one.
    """
    name, severity = raw
    if name is None and severity is None:
        return None
    if name is None or severity is None:
        raise DataError(f"data {spec!r}: give corruption and severity together, or neither for all of them")
    if name not in files.names:
        raise DataError(f"data {spec!r} has no corruption {name!r}; {did_you_mean(name, files.names)}")
    if severity not in map(str, SEVERITIES):
        raise DataError(f"data {spec!r}: severity={severity} must be one of {', '.join(map(str, SEVERITIES))}")
    return name, int(severity)


def without_clean(spec: str, example: str) -> DataError:
    """The error for a whole set of files without the clean samples that they were made of."""
    joined = "&" if "?" in spec else "?"
    return DataError(
        f"data {spec!r}: say where the clean samples are, as in {spec}{joined}clean={example}; or read one part alone, "
        f"as in {spec}{joined}corruption=fog&severity=3"
    )

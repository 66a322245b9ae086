"""`imagenet-c:DIR`: files `<corruption>/<severity>/<class>/*.JPEG`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.folder import EXTENSIONS, FolderDataset, open_folder
from unshaken.data.published.samples import SEVERITIES, Files, PublishedDataset, named_as, one_cell, without_clean
from unshaken.data.spec import Options, existing


class ImageNetC(Files):
    """The folders of all corruptions, one of which is listed at a time.

    Args:
        root: the folder.
        options: of the SPEC.

    Raises:
        DataError: a folder of a severity is absent, or holds other samples than the first.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self.root, self.options = root, options
        folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
        self.names = tuple(f.name for f in folders if any((f / str(s)).is_dir() for s in SEVERITIES))
        if not self.names:
            raise DataError(
                f"data {options.spec!r}: {str(root)!r} holds no folders <corruption>/<severity>/<class>, such as fog/3"
            )
        for name in self.names:
            for severity in SEVERITIES:
                if not (root / name / str(severity)).is_dir():
                    raise DataError(
                        f"data {options.spec!r}: {name!r} has no folder of severity {severity}; all five are needed"
                    )
        self.first = self.open(self.names[0], SEVERITIES[0])
        if self.first.labels is None:
            raise DataError(f"data {options.spec!r}: images must lie in class folders, as in fog/3/n01440764/a.JPEG")
        self._marks: list[object] = []
        self._bad: dict[tuple[str, int], dict[int, str]] = {}

    def open(self, name: str, severity: int) -> FolderDataset:
        """List the files of one severity, sorted by class and name."""
        return open_folder(str(self.root / name / str(severity)), self.options)

    def check_all(self) -> None:
        """List every folder, and keep what changes when one does.

        Raises:
            DataError: a folder holds other samples than the first.
        """
        for name in self.names:
            for severity in SEVERITIES:
                part = self.open(name, severity)
                if part.ids != self.first.ids:
                    self._refuse(f"{name}/{severity}", set(part.ids))
                self._marks.append(part.fingerprint)
                self._bad[name, severity] = part.bad

    @override
    def at(self, name: str, severity: int) -> Dataset:
        return Part(self.first, self.root / name / str(severity), self._bad[name, severity])

    @override
    def marks(self) -> Iterable[object]:
        return self._marks

    def _refuse(self, part: str, ids: set[str]) -> None:
        known = set(self.first.ids)
        lacks, more = sorted(known - ids), sorted(ids - known)
        what = f"lacks {len(lacks)}, such as {lacks[0]!r}" if lacks else f"has {len(more)} more, such as {more[0]!r}"
        raise DataError(
            f"data {self.options.spec!r}: {part} {what}, compared with {self.names[0]}/1: every severity must hold the "
            "same samples"
        )


class Part(Dataset):
    """The files of one severity, of which only the names are known.

    Args:
        first: the files of another severity, with the same names.
        folder: of this severity.
        bad: for files known to be bad, the reason by index.
    """

    def __init__(self, first: FolderDataset, folder: Path, bad: Mapping[int, str]) -> None:
        super().__init__(
            ids=first.ids,
            labels=first.labels,
            classes=first.classes,
            root=str(folder),
            options=first.options,
            bad=bad,
        )
        self._folder = folder

    @override
    def fetch(self, index: int) -> Path:
        return self._folder / self.ids[index]

    @override
    def content(self) -> Iterable[object]:
        return (self.root,)


def key_of(name: str) -> str:
    """The key that a sample has in clean and corrupted files alike: its id without a file's extension, unquoted.

    >>> key_of("n01440764/ILSVRC2012_val_00000293.JPEG"), key_of("3/test%2Fcat%2F0001.JPEG")
    ('n01440764/ILSVRC2012_val_00000293', '3/test/cat/0001')
    """
    stem, extension = os.path.splitext(name)
    return unquote(stem if extension.lower() in EXTENSIONS else name)


def open_imagenet_c(target: str, options: Options, clean: Dataset | None) -> Dataset:
    """Open folders of corrupted files, with the clean samples of the same names.

    Args:
        target: the folder of all corruptions.
        options: of the SPEC.
        clean: a folder of classes with the same class folders and names, or other data, whose samples are found by
            their id alone; None where one part is to be read without it.

    Raises:
        DataError: see `ImageNetC`; or the clean samples are absent, or lack some that the files hold.
    """
    root = existing(target, options.spec, folder=True)
    files = ImageNetC(root, options)
    if (cell := one_cell(files, (options.corruption, options.severity), options.spec)) is not None:
        alone = files.open(*cell)  # its samples need not be those of another part
        return alone if clean is None else named_as(clean, _rows(clean, alone.ids, options.spec), alone)
    if clean is None:
        raise without_clean(options.spec, "folder:VAL")
    rows = _rows(clean, files.first.ids, options.spec)
    files.check_all()
    return PublishedDataset(clean, rows, files, options)


def _rows(clean: Dataset, ids: Sequence[str], spec: str) -> NDArray[np.int64]:
    """Where each sample of the files stands in the clean data."""
    name, in_folders = clean.options.spec, isinstance(clean, FolderDataset)
    wanted = [key_of(i) if in_folders else key_of(i.partition("/")[2]) for i in ids]
    places: dict[str, int] = {}
    for row, own in enumerate(clean.ids):
        if places.setdefault(key_of(own), row) != row:
            raise DataError(
                f"data {spec!r}: the clean data {name!r} has two samples {key_of(own)!r} but for the extension"
            )
    absent = [key for key in wanted if key not in places]
    if absent:
        raise DataError(
            f"data {spec!r}: the clean data {name!r} lacks {len(absent)} of {len(wanted)} samples of the files, such "
            f"as {absent[0]!r}; name the data that they were made of"
        )
    rows = np.array([places[key] for key in wanted], np.int64)
    _check_classes(ids, clean.labels, rows, spec, name)
    return rows


def _check_classes(
    ids: Sequence[str], labels: NDArray[np.int64] | None, rows: NDArray[np.int64], spec: str, name: str
) -> None:
    """Refuse a class folder whose samples have several labels in the clean data."""
    if labels is None:
        raise DataError(f"data {spec!r}: the clean data {name!r} has no labels")
    known: dict[str, int] = {}
    for id, label in zip(ids, labels[rows].tolist(), strict=True):
        folder = id.partition("/")[0]
        if known.setdefault(folder, label) != label:
            raise DataError(
                f"data {spec!r}: the class folder {folder!r} holds samples that the clean data {name!r} puts into "
                "several classes"
            )

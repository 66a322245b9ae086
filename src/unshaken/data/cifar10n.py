"""`cifar10n:COLUMN`: CIFAR-10's training images with the labels that people gave them, beside the true ones."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.dataset import Dataset
from unshaken.data.named import CIFAR10, open_named
from unshaken.data.parquet_check import check_parquet
from unshaken.data.spec import Options, reason_of

Column = NDArray[np.int64]
WRONG: Mapping[str, int] = {"worse": 20_104, "aggre": 4_505, "random1": 8_617, "random2": 9_061, "random3": 8_820}
"""Columns, and how many of the 50,000 labels of each are wrong: 40.21, 9.01, 17.23, 18.12 and 17.64 %."""
FIRST = (6, 9, 9, 4, 1, 1, 2, 7, 8, 3)
"""True classes of the first ten images in the official order."""
IMAGES = 50_000
FOLDERS = ("labels-cifar10", "cifar10n")
"""Folders below `$UNSHAKEN_DATA` where the labels are looked for."""
TABLE, ORIGINAL = "cifar10n.parquet", "CIFAR-10_human.pt"
SHA256 = "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310"
"""Of the original file as published."""
GET = f"put {TABLE}, or {ORIGINAL} of github.com/UCSC-REAL/cifar-10-100n, into $UNSHAKEN_DATA/{FOLDERS[0]}"


def open_cifar10n(target: str, options: Options) -> Dataset:
    """The training images of the named set `cifar10` with people's labels; `true_labels` has the official ones.

    Args:
        target: a column: `worse`, `aggre`, `random1`, `random2` or `random3`.
        options: `split` is `train` (default) or `full`, where CIFAR-10 is there in two files.

    Raises:
        DataError: there is no such column, labels or images are absent, or they do not belong to each other.
    """
    if target not in WRONG:
        raise DataError(f"data {options.spec!r}: CIFAR-10N has no column {target!r}; {did_you_mean(target, WRONG)}")
    if options.split not in (None, "train", "full"):
        raise DataError(f"data {options.spec!r}: CIFAR-10N has labels of training images alone: split=train or full")
    columns = read_columns(_file(options.spec))
    images = open_named("cifar10", replace(options, split=options.split or "train"))
    places = official_places(images.ids, columns["clean"])
    labels = np.full(len(images), -1) if images.labels is None else images.labels
    differ = (places < 0) | ((columns["clean"][np.maximum(places, 0)] != labels) & (labels >= 0))
    if differ.any():
        first = images.ids[int(differ.argmax())]
        raise DataError(
            f"data {options.spec!r}: {differ.sum():,} of {len(images):,} images, such as {first!r}, are not those of "
            "CIFAR-10N's labels in the official order; an id is the official index, or train/CLASS/PLACE"
        )
    return images.relabelled(np.where(labels < 0, labels, columns[target][places]))


def official_places(ids: Sequence[str], clean: Column) -> Column:
    """Each image's index in the official order of CIFAR-10's training images, -1 where its id does not tell.

    Args:
        ids: the official index, or `train/CLASS/PLACE` with the place among the images of the class.
        clean: official labels in that order, int `[50000]`.
    """
    members = {name: np.flatnonzero(clean == number) for number, name in enumerate(CIFAR10)}
    found = np.full(len(ids), -1)
    for row, name in enumerate(ids):
        match = re.fullmatch(r"(?:train/([a-z]+)/)?([0-9]{1,5})", name, re.ASCII)
        within = members.get(match[1], ()) if match and match[1] else range(len(clean))
        if match and int(match[2]) < len(within):
            found[row] = within[int(match[2])]
    return found


def read_columns(path: Path) -> dict[str, Column]:
    """All columns in the official order, with `clean`, the official labels.

    Args:
        path: the table, or the authors' file, of whose pickle nothing but arrays of whole numbers is read.

    Raises:
        DataError: it cannot be read, or the labels are not those that were published.
    """
    raw = _table(path) if path.suffix == ".parquet" else _original(path)
    for name in ("clean", *WRONG):
        column = raw.get(name)
        if column is None or column.shape != (IMAGES,) or not ((column >= 0) & (column < 10)).all():
            raise _strange(path, f"the column {name} is not {IMAGES:,} labels from 0 to 9")
    if tuple(raw["clean"][: len(FIRST)].tolist()) != FIRST:
        raise _strange(path, f"the true labels do not begin with {' '.join(map(str, FIRST))}")
    for name, count in WRONG.items():
        if (found := int((raw[name] != raw["clean"]).sum())) != count:
            raise _strange(path, f"{found:,} labels of {name} are wrong, and {count:,} of the published ones")
    return raw


def _file(spec: str) -> Path:
    own = os.environ.get("UNSHAKEN_DATA")
    for folder in FOLDERS if own else ():
        for name in (TABLE, ORIGINAL):
            if (path := Path(own or "").expanduser() / folder / name).is_file():
                return path
    where = "" if own else " (not set)"
    raise DataError(f"data {spec!r}: the labels are not found in $UNSHAKEN_DATA/{FOLDERS[0]}{where}; {GET}")


def _table(path: Path) -> dict[str, Column]:
    names = ["train_index", "clean", *WRONG]
    check_parquet(path, names, str(path))
    try:
        table = pq.read_table(path, columns=names)
        columns = {name: table.column(name).to_numpy().astype(np.int64) for name in names}
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as the table of CIFAR-10N: {reason_of(error)}") from error
    order = np.argsort(columns.pop("train_index"))
    return {name: column[order] for name, column in columns.items()}


def _original(path: Path) -> dict[str, Column]:
    allowed = [
        (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
        np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        np.ndarray,
        np.dtype,
        type(np.dtype(np.int64)),
    ]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle of another program, which is refused
            found = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: cannot be read as CIFAR-10N's file: {reason_of(error)}") from error
    columns = found if isinstance(found, dict) else {}
    short = {str(name).replace("_label", ""): np.asarray(column) for name, column in columns.items()}
    return {name: column.astype(np.int64) for name, column in short.items() if column.dtype.kind in "iu"}


def _strange(path: Path, why: str) -> DataError:
    with path.open("rb") as file:
        mark = hashlib.file_digest(file, "sha256").hexdigest()
    digests = f"; its SHA-256 is {mark}, that of the published file {SHA256}" if path.suffix == ".pt" else ""
    return DataError(f"{path}: not CIFAR-10N's labels: {why}{digests}")

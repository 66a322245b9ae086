"""`load_data`: from a SPEC to a `Dataset`; `py:` opens what the user's own code makes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from unshaken.core.consent import require_named
from unshaken.core.errors import DataError, did_you_mean
from unshaken.core.user_code import call_factory
from unshaken.data.box_files import read_box_table
from unshaken.data.cifar10n import open_cifar10n
from unshaken.data.coco import open_coco
from unshaken.data.croissant import open_croissant
from unshaken.data.dataset import Dataset
from unshaken.data.folder import open_folder
from unshaken.data.huggingface import open_hub
from unshaken.data.idx import open_idx
from unshaken.data.label_noise import with_noise
from unshaken.data.label_overlay import with_labels
from unshaken.data.map_style import open_zoo
from unshaken.data.mask_folder import open_masks
from unshaken.data.mix import open_mix
from unshaken.data.named import FASHION, NAMED, open_named
from unshaken.data.parquet import open_parquet
from unshaken.data.published.cifar_c import open_cifar_c
from unshaken.data.published.imagenet_c import open_imagenet_c
from unshaken.data.published.objectnet import open_objectnet
from unshaken.data.published.samples import PublishedDataset
from unshaken.data.published.wilds import open_wilds
from unshaken.data.selection import half_of, with_long_tail
from unshaken.data.shards import open_shards
from unshaken.data.spec import Options, divide, options_of, unknown_data
from unshaken.data.viewpoint.mesh_folder import open_meshes
from unshaken.data.viewpoint.solids import open_solids
from unshaken.data.yolo import open_yolo

DEMO = Path(__file__).parent / "demo" / "fashion-mnist-1000.parquet"


def open_python(target: str, options: Options) -> Dataset:
    """Call a factory, which returns a `Dataset`; `size` and `mode` of the SPEC take the place of its own.

    Raises:
        DataError: the target does not name both a file or module and a factory, or no data set is returned.
        ModelError: the code was not named by the user in this call, is absent, or raises.
    """
    place, _, factory = target.rpartition(":")
    if not place or not factory:
        raise DataError(f"data {options.spec!r}: write py:FILE_OR_MODULE:FACTORY, such as py:objects.py:build")
    require_named(f"py:{target}")
    made, _ = call_factory(place, factory)
    if not isinstance(made, Dataset):
        raise DataError(f"data {options.spec!r}: the factory returned a {type(made).__name__}, not an unshaken Dataset")
    other = copy.copy(made)
    own = made.options
    other.options = replace(options, size=options.size or own.size, mode=options.mode or own.mode)
    return other


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of SPEC: what opens it, and the options it takes beside `size` and `mode`."""

    open: Callable[[str, Options], Dataset]
    options: tuple[str, ...] = ("split",)


EVERYWHERE = ("size", "mode", "noise", "longtail", "labels", "boxes")
"""Options that every SPEC takes."""
SOURCES: Mapping[str, Source] = {
    "folder": Source(open_folder, ("split", "links", "classes")),
    "masks": Source(open_masks, ("split", "links", "classes")),
    "coco": Source(open_coco, ("split", "images", "links")),
    "yolo": Source(open_yolo, ("split", "classes", "links")),
    "parquet": Source(open_parquet, ("split", "classes")),
    "croissant": Source(open_croissant, ("split", "records", "links")),
    "idx": Source(open_idx),
    "torchvision": Source(open_zoo),
    "hf": Source(open_hub),
    "wds": Source(open_shards, ("classes",)),
    "cifar10n": Source(open_cifar10n),
    "meshes": Source(open_meshes),
    "solids": Source(open_solids),
    "py": Source(open_python, ()),
    "cifar-c": Source(
        lambda target, options: open_cifar_c(target, options, _clean(options)),
        ("clean", "corruption", "severity", "classes"),
    ),
    "mix": Source(lambda target, options: open_mix(target, options, partial(load_data, download=options.download)), ()),
    "imagenet-c": Source(
        lambda target, options: open_imagenet_c(target, options, _clean(options)),
        ("clean", "corruption", "severity", "links"),
    ),
    "objectnet": Source(open_objectnet, ("links",)),
    "wilds": Source(open_wilds, ("split", "links")),
}


_CUT = "data {!r}: published files are cut photos, which boxes of the whole ones do not fit; corrupt the photos here"


def load_data(spec: str, *, download: bool = False) -> Dataset:
    """Open data by its SPEC. No image is decoded yet.

    Args:
        spec: `demo` (1,000 images of Fashion-MNIST, embedded; `split=first` and `split=second` are its halves),
            `folder:DIR`, `masks:DIR` (images with a class for each pixel),
            `coco:DIR` or `coco:FILE.json?images=DIR` and `yolo:DIR` (images with boxes of objects),
            `parquet:FILE`, `croissant:FILE` (what a file in MLCommons' format Croissant describes), `idx:DIR`,
            `torchvision:NAME`, `hf:NAME`, `wds:PATTERN`, `cifar-c:DIR?clean=SPEC` and `imagenet-c:DIR?clean=SPEC`
            (published corrupted files), `objectnet:DIR` and `wilds:DIR` (as published),
            `cifar10n:COLUMN` (CIFAR-10's training images with people's labels),
            `mix:REAL+GENERATED@RATIO` (two SPECs: generated images beside real ones), `meshes:DIR` and `solids:N`
            (objects that can be seen from any viewpoint; see docs/viewpoints.md), `py:FILE_OR_MODULE:FACTORY` (the data
            set that your own function returns, such as one of objects with your own renderer), or a named set such as
            `cifar10`; options after `?`, as in `folder:photos?size=224&mode=RGB`: `split`, `size` (short side in
            pixels, then the centre square), `mode` (RGB or L), `noise` (wrong labels made on purpose,
            `MODEL:RATE[:SEED]` with the models `symmetric`, `uniform`, `pair`, `asymmetric`, `class-frequency`),
            `longtail` (classes made ever smaller before that, `RATIO[:SEED]`), `labels` (a parquet or CSV file with the
            columns id and label that replaces labels, after all of these), `boxes` (a parquet or CSV file of objects'
            boxes: `id, x, y, w, h`, and where known `class, crowd, area`; centre and size as shares of the photo's;
            they take the place of the data's own), for folder, yolo, parquet and wds
            `classes` (a file with one name a line; for folder also lines of folder, tab, class), and for folder `links`
            (`follow`: links to folders inside the data folder too; or a folder into which links may lead), for
            croissant `records` (one of several record sets of images).
        download: True allows a download where the SPEC's source has one.

    Raises:
        DataError: the SPEC is not understood, the data is absent, or it holds nothing usable.
        MissingExtra: a package that this source needs is absent.

    >>> data = load_data("demo")
    >>> len(data), data.ids[0], data.classes[data.labels[0]], data.read(0).shape
    (1000, 't10k/00000', 'Ankle boot', (28, 28, 1))
    """
    dataset = _opened(spec, download=download)
    if dataset.labels is not None and dataset.labels.ndim > 1:
        for name in ("longtail", "noise", "labels"):
            if getattr(dataset.options, name) is not None:
                raise DataError(f"data {spec!r} is labelled with masks: {name} needs one class an image; leave it out")
    if dataset.options.longtail is not None:
        dataset = with_long_tail(dataset, dataset.options.longtail)
    if dataset.options.noise is not None:
        dataset = with_noise(dataset, dataset.options.noise)
    if dataset.options.labels is not None:
        dataset = with_labels(dataset, dataset.options.labels)
    if dataset.options.boxes is not None:
        if isinstance(dataset, PublishedDataset):
            raise DataError(_CUT.format(spec))
        table = read_box_table(dataset.options.boxes)
        table.check(dataset)
        dataset = dataset.with_boxes(table)
    return dataset


def _opened(spec: str, *, download: bool) -> Dataset:
    kind, target, raw = divide(spec)
    if ":" not in spec.partition("?")[0]:
        return _bare(kind, raw, spec, download)
    if target.startswith("//"):
        raise DataError(f"data {spec!r} is an address, and data is read from this machine: fetch it, then folder:DIR")
    if kind not in SOURCES:
        raise DataError(f"data {spec!r}: unknown kind {kind!r}; {did_you_mean(kind, SOURCES)}")
    source = SOURCES[kind]
    return source.open(target, options_of(spec, raw, (*source.options, *EVERYWHERE), download=download))


def _clean(options: Options) -> Dataset | None:
    """The clean samples that published files were made of, where the SPEC names them."""
    clean = load_data(options.clean, download=options.download) if options.clean else None
    if clean is not None and clean.boxes is not None:
        raise DataError(_CUT.format(options.spec))
    return clean


def _bare(name: str, raw: dict[str, str], spec: str, download: bool) -> Dataset:
    """`demo` or a named set."""
    if name == "demo":
        options = options_of(spec, raw, ("split", *EVERYWHERE), download=download)
        whole = open_parquet(str(DEMO), replace(options, split=None), classes=FASHION, trusted=True)
        return whole if options.split is None else half_of(whole, options.split)
    if name in NAMED:
        return open_named(name, options_of(spec, raw, ("split", *EVERYWHERE), download=download))
    raise unknown_data(name, spec, ["demo", *NAMED, *(f"{k}:" for k in SOURCES)])

"""Sets that give a sample by its index, such as those of torch, and lists; `torchvision:NAME` opens one by its name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.arrays import to_bytes
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, Source, open_image, without_ghostscript
from unshaken.data.labels import labels_from
from unshaken.data.spec import Options, reason_of

_STORED = ("targets", "labels", "_labels", "y", "samples", "_samples")
_IMAGE, _LABEL = ("image", "img", "pixel_values"), ("label", "labels", "fine_label")


class MapStyleDataset(Dataset):
    """Samples of an object with `len(inner)` and `inner[i]`: an image, or a pair of image and label.

    Args:
        inner: the object; what it does to an image, such as a transform, is done.
        root: see `Dataset`.
        options: see `Dataset`.
        classes: names in label order; default the object's own.
        ids: one per sample; default the index.
    """

    label_types: tuple[type, ...] = (int, str)

    def __init__(
        self, inner: Any, root: str, options: Options, classes: tuple[str, ...] = (), ids: Iterable[str] | None = None
    ) -> None:
        self._inner = inner
        targets = targets_of(inner, self.label_types)
        column = pa.nulls(len(inner)) if targets is None else pa.array(targets)
        labels, names, bad = labels_from(column, classes or class_names(inner), options.spec)
        known = map(str, range(len(inner))) if ids is None else ids
        super().__init__(ids=known, labels=labels, classes=names, root=root, options=options, bad=bad)

    @override
    def fetch(self, index: int) -> Source:
        try:
            with without_ghostscript():
                image = image_of(self._inner[index])
        except Exception as error:  # its loaders raise many kinds; the reason is kept
            raise BadImage(f"{type(self._inner).__name__} cannot load it: {reason_of(error)}") from error
        return image if isinstance(image, Image.Image | bytes) else _pixels(image)

    @override
    def content(self) -> Iterable[object]:
        yield type(self._inner).__name__
        yield len(self)
        yield b"" if self.labels is None else self.labels.tobytes()
        data = getattr(self._inner, "data", None)
        if isinstance(data, torch.Tensor | np.ndarray) and np.asarray(data).dtype != object:
            yield np.ascontiguousarray(np.asarray(data)).tobytes()
            return
        for index in np.unique(np.linspace(0, len(self) - 1, 32).astype(int)).tolist():
            try:
                yield open_image(self.fetch(index)).tobytes()
            except BadImage as error:
                yield error.reason


def image_of(sample: Any) -> Any:
    """The image of a sample: the first of a pair, the entry `image` of a mapping, or the sample itself."""
    return _part(sample, 0, _IMAGE) if isinstance(sample, tuple | list | Mapping) else sample


def target_of(inner: Any, index: int) -> Any:
    """One target, a number out of its tensor; None where there is none or the sample cannot be loaded."""
    try:
        with without_ghostscript():
            sample = inner[index]
    except Exception:  # its loaders raise many kinds; `fetch` says why
        return None
    target = _part(sample, 1, _LABEL) if isinstance(sample, tuple | list | Mapping) else None
    return target.item() if isinstance(target, torch.Tensor | np.generic) and np.ndim(target) == 0 else target


def targets_of(inner: Any, types: tuple[type, ...] = (int, str)) -> Any:
    """The targets as whole numbers or names; None when they are no class labels.

    Nothing is decoded where the object keeps them, as torchvision's sets do; else every sample is loaded once.

    Args:
        inner: the object.
        types: that a class label may have.
    """
    if isinstance(inner, torch.utils.data.Subset):
        found = targets_of(inner.dataset, types)
        return None if found is None else [found[i] for i in inner.indices]
    first = target_of(inner, 0)
    if first is not None and not isinstance(first, types):
        return None
    for name in _STORED:
        stored = getattr(inner, name, None)
        if stored is None or len(stored) != len(inner):
            continue
        values = np.asarray([k[1] for k in stored] if name.endswith("samples") else stored)
        if values.ndim == 1 and values.dtype.kind in "iub" and first in (None, values[0]):
            return values
    found = [target_of(inner, i) for i in range(len(inner))]
    return found if all(t is None or isinstance(t, types) for t in found) else None


def class_names(inner: Any) -> tuple[str, ...]:
    """The object's own class names in label order; empty where it has none."""
    if isinstance(inner, torch.utils.data.Subset):
        return class_names(inner.dataset)
    return tuple(c[0] if isinstance(c, tuple) else str(c) for c in getattr(inner, "classes", None) or ())


def _part(sample: Any, place: int, names: tuple[str, ...]) -> Any:
    if isinstance(sample, Mapping):
        return next((sample[n] for n in names if n in sample), None)
    return sample[place] if len(sample) > place else None


def _pixels(image: Any) -> NDArray[np.uint8]:
    """uint8 `[H, W, C]` of a tensor `[C, H, W]` or `[H, W]`, or of an array `[H, W, C]` or `[H, W]`."""
    if not isinstance(image, torch.Tensor | np.ndarray):
        raise BadImage(f"a {type(image).__name__} is no image: give a Pillow image, a tensor or an array")
    array: NDArray[Any] = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
    if isinstance(image, torch.Tensor) and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        form = "tensor [C, H, W]" if isinstance(image, torch.Tensor) else "array [H, W, C]"
        raise BadImage(f"shape {tuple(image.shape)} is no image: give a {form} with 1 or 3 channels")
    bad: dict[int, str] = {}
    try:
        pixels: NDArray[np.uint8] = to_bytes(array[None], bad)[0]
    except DataError as error:
        raise BadImage(str(error)) from None
    if bad:
        raise BadImage(bad[0])
    return pixels


class ZooDataset(MapStyleDataset):
    """A torchvision data set that a SPEC names; an id is the index."""

    label_types = (int,)


def open_zoo(target: str, options: Options, classes: tuple[str, ...] = ()) -> ZooDataset:
    """Open a data set by its class name in `torchvision.datasets`; `split` is `test` unless given.

    Raises:
        DataError: the name or split is unknown, the class needs more than a SPEC can say, or the files are absent and
            no download was allowed.
    """
    from torchvision import datasets

    known = [n for n in datasets.__all__ if inspect.isclass(getattr(datasets, n)) and n != "VisionDataset"]
    if target not in known:
        raise DataError(f"data {options.spec!r}: torchvision has no data set {target!r}; {did_you_mean(target, known)}")
    kind = getattr(datasets, target)
    arguments = _arguments(kind, options)
    own = os.environ.get("UNSHAKEN_DATA")
    folders = [*([Path(own).expanduser() / "torchvision"] if own else []), Path(torch.hub.get_dir()) / "datasets"]
    for root in folders:
        if (found := _build(kind, root, arguments, options, download=False)) is not None:
            return ZooDataset(found, str(root), options, classes)
    if options.download and "download" in _parameters(kind):
        folders[0].mkdir(parents=True, exist_ok=True)
        found = _build(kind, folders[0], arguments, options, download=True)
        if found is not None:
            return ZooDataset(found, str(folders[0]), options, classes)
    how = "allow the download (--download)" if "download" in _parameters(kind) else "put its files there by hand"
    raise DataError(f"data {options.spec!r} is not in {' or '.join(str(f) for f in folders)}; {how}")


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """The constructor's parameters, with those that `**kwargs` hands on to its bases."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(vars(base)["__init__"]).parameters
        found = {**own, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    return {n: p for n, p in found.items() if n != "self" and p.kind is not p.VAR_KEYWORD}


def _arguments(kind: type, options: Options) -> dict[str, Any]:
    parameters = _parameters(kind)
    if kind.__name__ == "FakeData" and options.split is None:
        return {}
    arguments: dict[str, Any] = {}
    split = options.split or "test"
    named = next((n for n in ("split", "image_set") if n in parameters), None)
    if named is not None:
        arguments[named] = split
        if "train" in parameters:
            arguments["train"] = False
    elif "train" in parameters:
        if split not in ("train", "test"):
            raise DataError(f"data {options.spec!r} has no split {split!r}; known: test, train")
        arguments["train"] = split == "train"
    elif options.split is not None:
        raise DataError(f"data {options.spec!r}: this set has no splits; leave the option split away")
    needed = [n for n, p in parameters.items() if p.default is p.empty and n not in ("root", *arguments)]
    if needed:
        raise DataError(f"data {options.spec!r} needs the argument {needed[0]!r}, which a SPEC cannot give")
    return arguments


def _build(kind: type, root: Path, arguments: dict[str, Any], options: Options, *, download: bool) -> Any:
    """The data set, or None when its files are not in the folder."""
    parameters = _parameters(kind)
    extra = {"download": download} if "download" in parameters else {}
    if "root" in parameters:
        if not root.is_dir():
            return None
        extra["root"] = str(root)  # type: ignore[assignment]
    try:
        with redirect_stdout(StringIO()):
            return kind(**arguments, **extra)
    except ValueError as error:
        raise DataError(f"data {options.spec!r}: {reason_of(error)}") from error
    except Exception as error:  # absent files, a broken download, an absent decoder: the reason is kept
        if download:
            raise DataError(f"data {options.spec!r} cannot be downloaded: {reason_of(error)}") from error
        if isinstance(error, RuntimeError | FileNotFoundError | NotADirectoryError):
            return None
        raise DataError(f"data {options.spec!r} cannot be opened: {reason_of(error)}") from error

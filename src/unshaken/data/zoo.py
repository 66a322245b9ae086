"""`torchvision:NAME`: any classification set of torchvision."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, Source, open_image, without_ghostscript
from unshaken.data.labels import labels_from
from unshaken.data.spec import Options, reason_of

_KEPT = ("targets", "labels", "_labels", "y", "samples", "_samples")


class ZooDataset(Dataset):
    """A torchvision data set; an id is the index."""

    def __init__(self, inner: Any, root: Path, options: Options, classes: tuple[str, ...] = ()) -> None:
        self._inner = inner
        names = classes or tuple(
            c[0] if isinstance(c, tuple) else str(c) for c in getattr(inner, "classes", None) or ()
        )
        targets = _targets(inner)
        column = pa.nulls(len(inner)) if targets is None else pa.array(targets)
        labels, names, bad = labels_from(column, names, options.spec)
        ids = [str(i) for i in range(len(inner))]
        super().__init__(ids=ids, labels=labels, classes=names, root=str(root), options=options, bad=bad)

    def fetch(self, index: int) -> Source:
        """The image, as torchvision loads it."""
        try:
            with without_ghostscript():
                image = self._inner[index][0]
        except Exception as error:  # its loaders raise many kinds; the reason is kept
            raise BadImage(f"torchvision cannot load it: {reason_of(error)}") from error
        if isinstance(image, torch.Tensor):
            raise BadImage("torchvision gives a tensor instead of an image")
        return image  # type: ignore[no-any-return]

    def content(self) -> Iterable[object]:
        """The labels, and all pixels where they are in memory, else those of 32 images evenly spread."""
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


def cache_folders() -> list[Path]:
    """Where torchvision's data lies: `$UNSHAKEN_DATA/torchvision`, torch's hub folder. A download goes to the first."""
    own = os.environ.get("UNSHAKEN_DATA")
    return [*([Path(own).expanduser() / "torchvision"] if own else []), Path(torch.hub.get_dir()) / "datasets"]


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
    folders = cache_folders()
    for root in folders:
        if (found := _build(kind, root, arguments, options, download=False)) is not None:
            return ZooDataset(found, root, options, classes)
    if options.download and "download" in _parameters(kind):
        folders[0].mkdir(parents=True, exist_ok=True)
        found = _build(kind, folders[0], arguments, options, download=True)
        if found is not None:
            return ZooDataset(found, folders[0], options, classes)
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


def _targets(inner: Any) -> Any:
    """The targets as whole numbers, without decoding where the set keeps them; None when they are no class labels."""
    first = _target(inner, 0)
    if first is not None and not isinstance(first, int):
        return None
    for name in _KEPT:
        kept = getattr(inner, name, None)
        if kept is None or len(kept) != len(inner):
            continue
        values = np.asarray([k[1] for k in kept] if name.endswith("samples") else kept)
        if values.ndim == 1 and values.dtype.kind in "iub" and first in (None, values[0]):
            return values
    found = [_target(inner, i) for i in range(len(inner))]
    return found if all(t is None or isinstance(t, int) for t in found) else None


def _target(inner: Any, index: int) -> Any:
    """One target, a number out of its tensor; None where the sample cannot be loaded (`fetch` says why)."""
    try:
        with without_ghostscript():
            target = inner[index][1]
    except Exception:  # its loaders raise many kinds
        return None
    return target.item() if isinstance(target, torch.Tensor | np.generic) and np.ndim(target) == 0 else target

"""`torchvision:NAME`: any classification set of torchvision."""

from __future__ import annotations

import inspect
import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.map_style import MapStyleDataset
from unshaken.data.spec import Options, reason_of


class ZooDataset(MapStyleDataset):
    """A torchvision data set that a SPEC names; an id is the index."""

    label_types = (int,)


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

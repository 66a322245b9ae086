"""`as_dataset`: whatever a program holds its images in, as a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from unshaken.core.errors import DataError
from unshaken.data.arrays import from_arrays
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, Source
from unshaken.data.load import load_data
from unshaken.data.map_style import MapStyleDataset, image_of, target_of
from unshaken.data.spec import Mode, Options


class MapStyle(Protocol):
    """Samples by index, such as a list of pairs or a Hugging Face data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


DataSource: TypeAlias = (
    str
    | Dataset
    | tuple[Any, Any]
    | Tensor
    | NDArray[Any]
    | TorchDataset[Any]
    | DataLoader[Any]
    | Sequence[Any]
    | MapStyle
)
"""What every function takes as its data; see `as_dataset`."""

_ACCEPTED = (
    "a SPEC such as 'folder:photos', a pair (images, labels) of arrays or tensors, a torch or torchvision Dataset, a "
    "DataLoader, a datasets.Dataset of Hugging Face, or a list of (image, label)"
)


def as_dataset(
    data: DataSource, *, size: int | None = None, mode: Mode | None = None, download: bool = False
) -> Dataset:
    """Make a data set of what a program holds its images in.

    A `DataLoader` is read through its `dataset`, so its order, batches and shuffling play no part, and a sample has the
    same id in every run. A transform is applied, and must give the same image each time; what normalises belongs into
    the model.

    Args:
        data: a SPEC, a `Dataset`, a pair `(images, labels)` of arrays or tensors (see `from_arrays`), a `DataLoader`, a
            `TensorDataset`, any torch or torchvision set or list of (image, label) pairs, or a `datasets.Dataset` of
            Hugging Face. An image is a Pillow image, uint8, or float in [0, 1].
        size: short side in pixels to resize to, then cut the centre square; of objects, for a SPEC write `?size=`.
        mode: `RGB` or `L`; as `size`.
        download: allow a SPEC's data to be fetched from its own source.

    Raises:
        DataError: it is none of these, or its images or labels have another form; the message says which.

    >>> as_dataset((np.zeros((2, 8, 8), np.uint8), ["cat", "dog"])).classes
    ('cat', 'dog')
    """
    if isinstance(data, str | Dataset):
        if size is not None or mode is not None:
            raise DataError("size and mode are for objects: in a SPEC write them, as in folder:photos?size=224")
        return load_data(data, download=download) if isinstance(data, str) else data
    if isinstance(data, os.PathLike):
        raise DataError(f"data {os.fspath(data)!r} is a path; say what it is: 'folder:{os.fspath(data)}'")

    def options(name: str) -> Options:
        return Options(spec=f"<{name}>", size=size, mode=mode)

    if isinstance(data, DataLoader):
        return as_dataset(_dataset_of(data), size=size, mode=mode)
    if isinstance(data, TensorDataset):
        if len(data.tensors) > 2:
            raise DataError(f"a TensorDataset of {len(data.tensors)} tensors: give one of images and labels")
        return from_arrays(*data.tensors, options=options(f"TensorDataset of {len(data)}"))
    if isinstance(data, Tensor | np.ndarray):
        return from_arrays(data, options=options(f"array of {len(data)}"))
    if isinstance(data, tuple) and len(data) == 2 and all(map(_is_array, data)):
        return from_arrays(*data, options=options(f"arrays of {len(data[0])}"))
    name = type(data).__name__
    if type(data).__module__.partition(".")[0] == "datasets":
        return _from_hub(data, options(f"Hugging Face {name}"))
    if isinstance(data, IterableDataset) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise DataError(f"data of type {name} has no length or no order of its own: give {_ACCEPTED}")
    return _from_map_style(data, options(f"{name} of {len(data)}"))


def _is_array(value: Any) -> bool:
    """Whether a value holds one entry per sample, and is no sample itself."""
    return isinstance(value, Tensor | np.ndarray | list) or value is None


def _dataset_of(loader: DataLoader[Any]) -> Any:
    """The set that a loader reads whole."""
    sampler = loader.sampler
    whole = isinstance(sampler, SequentialSampler) or (
        isinstance(sampler, RandomSampler) and not sampler.replacement and sampler.num_samples == len(loader.dataset)  # type: ignore[arg-type]
    )
    if isinstance(loader.dataset, IterableDataset):
        raise DataError("a DataLoader of an IterableDataset has no order of its own: give a set with a length")
    if not whole or type(loader.batch_sampler) not in (torch.utils.data.BatchSampler, type(None)):
        kind = type(sampler if not whole else loader.batch_sampler).__name__
        raise DataError(
            f"this DataLoader draws samples by a {kind}, so a sample has no id of its own: give its dataset, or a "
            "torch.utils.data.Subset of it"
        )
    return loader.dataset


def _from_hub(data: Any, options: Options) -> Dataset:
    from unshaken.data.huggingface import HubDataset

    kind = type(data).__name__
    if isinstance(data, dict):
        first = next(iter(data), "test")
        raise DataError(f"a {kind} has the splits {', '.join(data)}: give one, such as data[{first!r}]")
    if not hasattr(data, "__len__"):
        raise DataError(f"a {kind} has no length: load it without streaming=True")
    if data.format["type"] == "custom":
        raise DataError(f"a {kind} with a transform: call reset_format(), and let the model do what it did")
    return HubDataset(data, options)


def _from_map_style(data: Any, options: Options) -> Dataset:
    """A map-style set, checked on its first samples."""
    name = type(data).__name__
    if not len(data):
        raise DataError(f"data of type {name} holds no samples")
    target = target_of(data, 0)
    if target is not None and not isinstance(target, int | str):
        what = f"of shape {tuple(target.shape)}" if hasattr(target, "shape") else repr(target)[:40]
        raise DataError(
            f"{name}: the label of its first sample is a {type(target).__name__} {what}: give a whole number or a name"
        )
    found = MapStyleDataset(data, "memory", options, ids=_ids(data))
    for index in range(min(4, len(data))):
        try:
            fetched = [found.fetch(index) for _ in range(3)]
        except BadImage as error:
            if _is_of_set(data, index):
                raise DataError(f"{name}: sample {index}: {error.reason}") from None
            continue  # one file that cannot be read becomes a record
        if not all(_same(fetched[0], other) for other in fetched[1:]):
            raise DataError(
                f"{name} gives other pixels of sample {index} each time: remove what is random from its transform; "
                "a figure must be that of one image"
            )
    return found


def _is_of_set(data: Any, index: int) -> bool:
    """Whether a sample can be loaded, so that what is wrong with it is wrong with the whole set."""
    try:
        return not isinstance(image_of(data[index]), Image.Image | bytes)
    except Exception:  # its loaders raise many kinds
        return False


def _same(one: Source, other: Source) -> bool:
    return one == other if isinstance(one, bytes) else np.array_equal(np.asarray(one), np.asarray(other))


def _ids(data: Any) -> list[str] | None:
    """Paths relative to the root where the set has files, as torchvision's folders do; None for the index."""
    if isinstance(data, Subset):
        inner = _ids(data.dataset)
        return [str(i) for i in data.indices] if inner is None else [inner[i] for i in data.indices]
    samples, root = getattr(data, "samples", None), getattr(data, "root", None)
    if isinstance(samples, list) and isinstance(root, str | os.PathLike) and samples and isinstance(samples[0][0], str):
        paths = [os.path.relpath(s[0], root).replace(os.sep, "/") for s in samples]
        return paths if len(set(paths)) == len(paths) else None
    return None

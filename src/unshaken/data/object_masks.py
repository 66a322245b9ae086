"""Masks of objects in photos: their files by sample, written and read, and maps of photos in a model's view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.box_table import photo_size, seen_as
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, cut, open_image, place_photo
from unshaken.data.spec import existing, reason_of


def mask_name(sample: str) -> str:
    """The file of a sample's mask, relative to its folder: the id without its own ending, and `.png`.

    >>> mask_name("cats/a.jpg"), mask_name("12")
    ('cats/a.png', '12.png')
    """
    path = PurePosixPath(sample)
    return path.with_suffix(".png").as_posix() if path.name else f"{sample}.png"


def find_shared(samples: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Two samples of each mask that several would have, by the name of the mask's file.

    >>> find_shared(["a.jpg", "b.jpg", "a.png"])
    {'a.png': ('a.jpg', 'a.png')}
    """
    first: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for sample in samples:
        name = mask_name(sample)
        if (other := first.setdefault(name, sample)) != sample:
            found.setdefault(name, (other, sample))
    return found


@lru_cache(maxsize=1)
def _shared(samples: tuple[str, ...]) -> Mapping[str, tuple[str, str]]:
    """Find shared masks once for a data set, whose masks are read a few at a time."""
    return find_shared(samples)


def object_masks(folder: str, dataset: Dataset, indices: Sequence[int], view: View | None) -> Tensor:
    """Where the objects of samples are, from a folder of masks, in pixels of what the model sees.

    Args:
        folder: holds for a sample the image `<id>.png`, without the id's own ending; what is not black is the object.
        dataset: whose photos the masks belong to.
        indices: which of its samples; one without a mask has none.
        view: how the model looks at photos; None for as they are.

    Returns:
        bool `[N, H, W]`.

    Raises:
        DataError: a mask cannot be read, has another size than its photo or would be that of two samples, or no sample
            has one.
    """
    root, model_view = existing(folder, folder, folder=True), seen_as(dataset, view)
    found: list[NDArray[np.bool_] | None] = []
    for index in indices:
        path = root / mask_name(dataset.ids[index])
        if not path.is_relative_to(root):  # an id that is an absolute path
            raise DataError(f"the mask of sample {dataset.ids[index]!r} would lie outside of {folder!r}: rename it")
        if not path.is_file():
            found.append(None)
            continue
        if pair := _shared(dataset.ids).get(mask_name(dataset.ids[index])):
            raise DataError(
                f"the mask {mask_name(dataset.ids[index])!r} in {folder!r} would be that of both {pair[0]!r} and "
                f"{pair[1]!r}: rename one of the two, and its mask"
            )
        try:
            mask = open_image(path).convert("L")
        except BadImage as error:
            raise DataError(f"the mask {str(path)!r} cannot be read: {error.reason}") from None
        if mask.size != (size := photo_size(dataset, index)):
            raise DataError(
                f"the mask {str(path)!r} is {mask.size[0]} x {mask.size[1]} pixels and its photo {size[0]} x {size[1]}"
                ": make masks of the photos' sizes"
            )
        found.append(
            np.asarray(
                mask if model_view is None else cut(mask, replace(model_view, interpolation="nearest"), padding=0)
            )
            > 0
        )
    shapes = {mask.shape for mask in found if mask is not None}
    if len(shapes) != 1:
        raise DataError(
            f"no sample has a mask in {folder!r}: write them as <id>.png" if not shapes else
            f"the masks in {folder!r} are of {len(shapes)} sizes: choose a size, as in folder:photos?size=224"
        )  # fmt: skip
    empty = np.zeros(next(iter(shapes)), bool)
    return torch.from_numpy(np.stack([empty if mask is None else mask for mask in found]))


def write_object_masks(
    folder: str, masks: Tensor, dataset: Dataset, indices: Sequence[int], view: View | None
) -> None:  # fmt: skip
    """Write masks as files that `object_masks` reads: `<id>.png`, white on the object.

    Args:
        folder: for the files; made where it is absent.
        masks: bool `[N, H, W]`, in pixels of what the model sees.
        dataset: whose photos they belong to.
        indices: which of its samples.
        view: how the model looks at photos; None for as they are. What the view cuts off is not object.

    Raises:
        DataError: a file cannot be written, or an id would lie outside of the folder.
    """
    root, model_view = Path(folder).expanduser().resolve(), seen_as(dataset, view)
    for mask, index in zip(masks.numpy(), indices, strict=True):
        path = (root / mask_name(dataset.ids[index])).resolve()
        if not path.is_relative_to(root):
            raise DataError(
                f"the mask of sample {dataset.ids[index]!r} would lie outside of {folder!r}: rename the sample"
            )
        whole = mask
        if model_view is not None:
            width, height = photo_size(dataset, index)
            place = place_photo(width, height, model_view)
            canvas = Image.new("L", (place.width, place.height))
            canvas.paste(Image.fromarray(mask.astype(np.uint8) * 255), (place.left, place.top))
            whole = np.asarray(canvas.resize((width, height), Image.Resampling.NEAREST)) > 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(whole.astype(np.uint8) * 255).save(path)
        except OSError as error:
            raise DataError(f"the mask {str(path)!r} cannot be written: {reason_of(error)}") from error


def check_mask_names(ids: Iterable[str]) -> None:
    """Refuse samples whose masks would be one file.

    Args:
        ids: of all samples whose masks are to be written.

    Raises:
        DataError: two ids differ in their ending alone, as `a.jpg` and `a.png` do.
    """
    for mask, (one, other) in find_shared(ids).items():
        raise DataError(f"the masks of samples {one!r} and {other!r} would be one file, {mask}: rename one")


def map_in_view(
    values: NDArray[np.float64], dataset: Dataset, index: int, view: View | None
) -> NDArray[np.float64]:  # fmt: skip
    """Cut a map as its photo is cut, each pixel from the nearest one of the photo.

    Args:
        values: `[H, W]`; of another size than the photo they stay as they are: they are of what the model sees.
        dataset: whose photo it belongs to.
        index: of its sample.
        view: how the model looks at photos; None for as they are.

    Returns:
        `[h, w]`; what a view adds around the photo has the largest of the values.

    Raises:
        BadImage: the resized photo would pass the limit of pixels.
    """
    model_view, (width, height) = seen_as(dataset, view), photo_size(dataset, index)
    if model_view is None or values.shape != (height, width):
        return values
    numbers = Image.fromarray(np.arange(1, values.size + 1, dtype=np.int32).reshape(height, width))  # 0 is around it
    places = np.asarray(cut(numbers, replace(model_view, interpolation="nearest"), padding=0))
    found: NDArray[np.float64] = np.concatenate([[values.max()], values.ravel()])[places]
    return found

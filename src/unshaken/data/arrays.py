"""Arrays and tensors as people have them, made into a data set in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.data.in_memory import InMemory
from unshaken.data.labels import labels_from
from unshaken.data.spec import Options

Layout = Literal["NCHW", "NHWC"]

ROUNDING = 0.1
"""Distance from a whole number, in 1/255, that a pixel of 8 bits has at most after being stored in half precision."""
TOLERANCE = 1e-4
"""How far outside [0, 1] rounding may have put a float pixel."""


def from_arrays(
    images: Any,
    labels: Any = None,
    *,
    layout: Layout | None = None,
    ids: Sequence[str] | None = None,
    classes: Sequence[str] = (),
    options: Options | None = None,
) -> InMemory:
    """Make a data set of images in memory.

    Args:
        images: array or tensor `[N, C, H, W]`, `[N, H, W, C]` or `[N, H, W]`, C 1 or 3; uint8, or float in [0, 1],
            which is rounded to 8 bits as in an image file.
        labels: class of each image `[N]`: whole numbers from 0, or names; None for none.
        layout: `NCHW` or `NHWC`; None where the shape leaves no doubt.
        ids: one per sample; default the index.
        classes: names in label order.
        options: of the data set; default none.

    Raises:
        DataError: shape, type or range of images or labels is not one of these.

    >>> data = from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [1, 0])
    >>> data.images.shape, data.labels.tolist()
    (torch.Size([2, 3, 8, 8]), [1, 0])
    """
    array = to_numpy(images, "images")
    array = _as_nchw(array, layout, labelled=labels is not None)
    bad: dict[int, str] = {}
    pixels = to_bytes(array, bad)
    options = options or Options(spec=f"<{array.dtype} {list(array.shape)}>")
    found, names = None, tuple(classes)
    if labels is not None:
        found, names, bad_labels = read_labels(labels, len(pixels), classes, options.spec)
        bad = {**bad_labels, **bad}
    return InMemory(
        torch.from_numpy(pixels),
        None if found is None else torch.from_numpy(found),
        ids=ids,
        classes=names,
        bad=bad,
        options=options,
    )


def to_numpy(values: Any, what: str) -> NDArray[Any]:
    """Values as an array, from a tensor on any device, an array, or lists.

    Args:
        values: as given.
        what: they are, for messages.

    Raises:
        DataError: they make no regular array.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # type: ignore[no-any-return]
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DataError(f"{what} of type {type(values).__name__} are no regular array: {error}") from None


def read_labels(
    labels: Any, n: int, classes: Sequence[str], spec: str
) -> tuple[NDArray[np.int64] | None, tuple[str, ...], dict[int, str]]:
    """Labels of whatever type; see `labels_from`.

    Args:
        labels: array, tensor or list.
        n: number of images.
        classes: names in label order, or none.
        spec: of the data, for messages.

    Raises:
        DataError: they are not one whole number or name per image.
    """
    array = to_numpy(labels, "labels")
    if array.ndim == 2 and len(array) == n and array.shape[1] > 1:
        raise DataError(
            f"labels have the shape {array.shape}; give the class of each image, shape ({n},): for one-hot rows "
            "labels.argmax(1)"
        )
    if array.ndim == 2 and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.shape != (n,):
        raise DataError(f"labels have the shape {array.shape}, but there are {n} images: give one label per image")
    try:
        column = pa.array(array.tolist()) if array.dtype.kind in "OUS" else pa.array(array)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise DataError(
            f"labels of type {array.dtype} such as {str(array.flat[0])[:40]!r} are no class labels: give whole "
            "numbers from 0, or names"
        ) from None
    return labels_from(column, classes, spec)


def to_bytes(array: NDArray[Any], bad: dict[int, str]) -> NDArray[np.uint8]:
    """Pixels as uint8, of images `[N, ...]` that are uint8 or float in [0, 1].

    Args:
        array: the images.
        bad: gets the reason of each image that has values which are not finite.

    Raises:
        DataError: they are of another type or range.
    """
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind in "iu":
        raise DataError(f"images of type {array.dtype} have no agreed range: give uint8 (0 to 255) or float in [0, 1]")
    if array.dtype.kind != "f":
        raise DataError(f"images of type {array.dtype} are no pixels: give uint8, or float in [0, 1]")
    finite = np.isfinite(array)
    for index in np.flatnonzero(~finite.reshape(len(array), -1).all(1)).tolist():
        bad[index] = "the image has values that are not finite"
    inside = array if not bad else np.where(finite, array, 0)
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise DataError(f"images have values from {low:.4g} to {high:.4g}, not in [0, 1]: {_remedy(low, high)}")
    scaled = inside.astype(np.promote_types(array.dtype, np.float32)).clip(0, 1) * 255
    pixels = np.rint(scaled)
    if inside.size and float(np.abs(scaled - pixels).max()) > ROUNDING:
        warnings.warn(
            "float images are rounded to 8 bits, as in an image file (a change of up to 1/510 of the range)",
            stacklevel=2,
        )
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _remedy(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "divide them by 255, or give uint8"
    return (
        "undo the normalisation, and give its mean and std to the model instead: "
        "unshaken.load_model('...?mean=...&std=...') or Classifier(net, mean=..., std=...)"
    )


def _as_nchw(array: NDArray[Any], layout: str | None, *, labelled: bool) -> NDArray[Any]:
    """Images `[N, C, H, W]`, where the shape or the caller says which axis is which.

    Raises:
        DataError: neither does.
    """
    if layout not in (None, "NCHW", "NHWC"):
        raise DataError(f"layout {layout!r} is not one of NCHW, NHWC")
    shape = array.shape
    if array.ndim == 3 and (labelled or (shape[0] not in (1, 3) and shape[2] not in (1, 3))):
        return array[:, None]
    if array.ndim != 4:
        raise DataError(f"images have the shape {shape}: give [N, C, H, W], [N, H, W, C] or, if grayscale, [N, H, W]")
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if layout is None and first and last:
        raise DataError(
            f"images of shape {shape} may be [N, C, H, W] or [N, H, W, C]: say which, "
            "unshaken.data.from_arrays(X, Y, layout='NCHW')"
        )
    if not (first if layout == "NCHW" else last if layout == "NHWC" else first or last):
        raise DataError(f"images have the shape {shape}: neither grayscale nor RGB, give 1 or 3 channels")
    return array if layout == "NCHW" or (layout is None and first) else array.transpose(0, 3, 1, 2)

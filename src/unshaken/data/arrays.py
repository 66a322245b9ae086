"""Arrays and tensors as people have them, made into a data set in memory."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED, MOST_CLASSES
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source
from unshaken.data.labels import labels_from
from unshaken.data.spec import Options


class InMemory(Dataset):
    """Labelled or unlabelled images as bytes; `from_arrays` makes one of any array.

    Args:
        images: uint8 `[N, C, H, W]`, C 1 or 3.
        labels: int64 `[N]`, from 0; or masks, a class for each pixel, uint8 `[N, H, W]`, 255 where none; None for none.
        ids: one a sample; default the index.
        classes: names in label order.
        bad: for samples known to be bad, the reason by index.
        options: as of a SPEC; default none.

    Raises:
        DataError: shapes, types or lengths do not fit.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] = (),
        bad: Mapping[int, str] | None = None,
        options: Options | None = None,
    ) -> None:
        if images.ndim != 4 or str(images.dtype) != "torch.uint8" or images.shape[1] not in (1, 3):
            raise DataError(f"images must be uint8 [N, 1 or 3, H, W], not {images.dtype} {tuple(images.shape)}")
        if labels is not None and labels.ndim != 1:
            check_masks(labels, images)
        elif labels is not None and (len(labels) != len(images) or labels.is_floating_point()):
            raise DataError(f"labels must be whole numbers of shape ({len(images)},), not {tuple(labels.shape)}")
        self.images = images
        super().__init__(
            ids=map(str, range(len(images))) if ids is None else ids,
            labels=None if labels is None else (labels.long() if labels.ndim == 1 else labels.byte()).numpy(),
            classes=classes,
            root="memory",
            options=options or Options(spec="<in memory>"),
            bad=bad,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a sample's pixels are those of `images`, neither resized nor of another mode."""
        return self.options.size is None and self.options.mode is None

    @override
    def fetch(self, index: int) -> Source:
        image = self.images[index]
        return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy()

    @override
    def content(self) -> Iterable[object]:
        labels = b"" if self.labels is None else self.labels.tobytes()
        yield hashlib.blake2b(self.images.contiguous().numpy().tobytes() + labels, digest_size=16).hexdigest()


def check_masks(masks: Tensor, images: Tensor) -> None:
    """Check that masks give a class for each pixel of images.

    Args:
        masks: whole numbers.
        images: `[N, C, H, W]`.

    Raises:
        DataError: they are of another shape or type, or have values that are neither classes nor 255.
    """
    shape = (len(images), *images.shape[2:])
    if masks.is_floating_point() or masks.is_complex() or tuple(masks.shape) != shape:
        raise DataError(
            f"labels must be whole numbers of shape ({len(images)},), or of shape {shape} for masks, not {masks.dtype} "
            f"of shape {tuple(masks.shape)}"
        )
    strange = (masks < 0) | ((masks >= MOST_CLASSES) & (masks != IGNORED))
    if bool(strange.any()):
        raise DataError(
            f"masks hold the value {int(masks[strange][0])}: write classes from 0 to {MOST_CLASSES - 1}, and {IGNORED} "
            "for a pixel that is not to count"
        )


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
        remedy = (
            "divide them by 255, or give uint8"
            if low >= 0 and high <= 255
            else "undo the normalisation, and give its mean and std to the model instead: "
            "unshaken.load_model('...?mean=...&std=...') or Classifier(net, mean=..., std=...)"
        )
        raise DataError(f"images have values from {low:.4g} to {high:.4g}, not in [0, 1]: {remedy}")
    scaled = inside.astype(np.promote_types(array.dtype, np.float32)).clip(0, 1) * 255
    pixels = np.rint(scaled)
    if inside.size and float(np.abs(scaled - pixels).max()) > ROUNDING:
        warnings.warn(
            "float images are rounded to 8 bits, as in an image file (a change of up to 1/510 of the range)",
            stacklevel=2,
        )
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _as_nchw(array: NDArray[Any], layout: str | None, *, labelled: bool) -> NDArray[Any]:
    """Images `[N, C, H, W]`, where the shape or the caller says which axis is which."""
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

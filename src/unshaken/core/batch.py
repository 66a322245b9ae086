"""`Batch`: images, labels and ids that travel together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unshaken.core.boxes import OBJECT, join_boxes
from unshaken.core.errors import DataError

BATCH_NUMBERS = 2**27
"""Numbers in the images of a batch at most, 512 MiB as float32, beyond a single image."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one size.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`, or masks, a class for each pixel, `[N, H, W]`; None where the data has none.
        ids: one string a sample, stable for it across runs.
        boxes: the objects of each image, float32 `[N, M, 7]` as `unshaken.core.boxes` says; None where not known.

    Raises:
        DataError: shapes, types or lengths do not fit.
    """

    images: Tensor
    labels: Tensor | None
    ids: tuple[str, ...]
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or not self.images.is_floating_point():
            raise DataError(
                f"images must be float [N, C, H, W], not {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if len(self.ids) != len(self.images):
            raise DataError(f"{len(self.images)} images came with {len(self.ids)} ids: give one id per sample")
        shapes = self.images.shape[:1], (len(self.images), *self.images.shape[2:])
        if self.labels is not None and (self.labels.dtype != torch.int64 or self.labels.shape not in shapes):
            raise DataError(
                f"labels must be int64 of shape ({len(self.images)},), or of shape {shapes[1]} for masks, not "
                f"{self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if self.boxes is not None and (self.boxes.ndim, len(self.boxes), self.boxes.shape[-1]) != (
            3,
            len(self),
            OBJECT,
        ):
            raise DataError(f"boxes must be [{len(self)}, M, {OBJECT}], not of shape {tuple(self.boxes.shape)}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor | slice) -> Batch:
        """The samples named by a mask `[N]`, by indices or by a slice."""
        if isinstance(rows, slice):
            chosen = self.ids[rows]
        else:
            index = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
            if (places := index.tolist()) == list(range(len(self))):
                return self  # without a copy of the images
            chosen = tuple(self.ids[i] for i in places)
        labels, boxes = (None if part is None else part[rows] for part in (self.labels, self.boxes))
        return Batch(self.images[rows], labels, chosen, boxes)

    def with_images(self, images: Tensor) -> Batch:
        """The same samples with other pixels."""
        return replace(self, images=images)

    def to(self, device: torch.device | str) -> Batch:
        """The same samples on a device."""
        labels, boxes = (None if part is None else part.to(device) for part in (self.labels, self.boxes))
        return Batch(self.images.to(device), labels, self.ids, boxes)

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """One batch of all samples, in order."""
        if len(batches) == 1:
            return batches[0]
        labels = [b.labels for b in batches if b.labels is not None]
        boxes = [b.boxes for b in batches if b.boxes is not None]
        return Batch(
            torch.cat([b.images for b in batches]),
            torch.cat(labels) if len(labels) == len(batches) else None,
            tuple(i for b in batches for i in b.ids),
            join_boxes(boxes) if len(boxes) == len(batches) else None,
        )


def usual_batch(numbers: int, device: torch.device | str) -> int:
    """Images in one pass where the user names no number: as many as keep both memory and a processor's cache happy.

    Together they have at most `BATCH_NUMBERS` numbers, beyond a single image.

    On a CPU large images are quicker in small batches, whose activations stay in the cache: EfficientNet-Lite0 at 224
    pixels takes twice the time an image in batches of 56 as in batches of 4.

    Args:
        numbers: C x H x W of an image.
        device: where the model is.

    >>> [usual_batch(3 * side**2, "cpu") for side in (32, 224, 2000, 4000, 8000)]
    [256, 6, 4, 2, 1]
    """
    on_cpu = torch.device(device).type == "cpu"
    usual = max(4, min(256, 2**20 // numbers)) if on_cpu else max(8, min(512, 2**23 // numbers))
    return min(usual, most_images(numbers))


def most_images(numbers: int) -> int:
    """The number of images that are held at once at most: those with `BATCH_NUMBERS` numbers together, or a single one.

    Args:
        numbers: C x H x W of an image.
    """
    return max(1, BATCH_NUMBERS // numbers)


def batch_for(images: Tensor, device: torch.device | None = None) -> int:
    """Images in one pass, see `usual_batch`, for images such as `[N, C, H, W]`; the device is theirs by default."""
    return usual_batch(math.prod(images.shape[1:]), device or images.device)


def in_unit_range(images: Tensor, source: str) -> Tensor:
    """Images checked to lie in [0, 1], a tolerance of 1e-4 clipped away.

    Args:
        images: any float tensor.
        source: what to call it in the message.

    Raises:
        DataError: a value is outside [0, 1] or not finite.
    """
    low, high = torch.stack(torch.aminmax(images)).tolist() if images.numel() else (0.0, 0.0)
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise DataError(
            f"{source}: pixel values run from {low:.4g} to {high:.4g}, not within [0, 1]; divide by the largest value "
            "and leave normalisation to the model (options mean and std of its SPEC)"
        )
    return images if low >= 0 and high <= 1 else images.clamp(0, 1)

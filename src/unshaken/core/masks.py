"""Masks: labels that give a class for each pixel, `[N, H, W]`, and the value of pixels that nobody labelled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import ModelError

IGNORED = 255
"""The label of a pixel that counts for nothing."""
MOST_CLASSES = 254
"""Classes that masks may have: they are kept in a byte, whose two largest values mean something else."""
_NONE = -100
"""The label that torch ignores where a label stands for an image."""


def cross_entropy(logits: Tensor, wanted: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against classes of images, against class probabilities, or against masks; a mean.

    Args:
        logits: `[N, K]`, or `[N, K, H, W]` for masks.
        wanted: int64 `[N]`, probabilities `[N, K]`, or masks, int64 `[N, H, W]`; where these are `IGNORED` a pixel
            counts for nothing.
        smoothing: share of the target that is spread evenly over all K classes.

    Raises:
        ModelError: the logits are not of the kind of the labels.
    """
    pixels = wanted.ndim == 3
    if (logits.ndim == 4) != pixels:
        given, asked = ("a class for each pixel", "one an image") if logits.ndim == 4 else ("one class", "masks")
        raise ModelError(
            f"the model gives {given} (logits {tuple(logits.shape)}), the labels are {asked} "
            f"{tuple(wanted.shape)}: choose a network such as unet for masks, small-cnn for classes of images"
        )
    return F.cross_entropy(logits, wanted, label_smoothing=smoothing, ignore_index=IGNORED if pixels else _NONE)


def classes_last(logits: Tensor) -> Tensor:
    """Logits with the classes as the last dimension: `[N, K, H, W]` as `[N, H, W, K]`, `[N, K]` as they are."""
    return logits.movedim(1, -1) if logits.ndim == 4 else logits


def overlap_counts(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count the pixels of each class that agree, that are predicted, and that are labelled, without ignored ones.

    Args:
        predicted: classes, any shape.
        labels: the same shape; pixels of `IGNORED` are left out.
        classes: number of classes K.

    Returns:
        int64 `[3, K]`: intersection, predicted, labelled. Counts of several batches may be added; `unshaken.measure`
        makes intersection over union and Dice of them.

    >>> overlap_counts(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 255]), 2).tolist()
    [[1, 1], [1, 2], [2, 1]]
    """
    known = labels != IGNORED
    one, other = predicted[known].long(), labels[known].long()
    parts = (one[one == other], one, other)
    return torch.stack([torch.bincount(part, minlength=classes)[:classes] for part in parts])

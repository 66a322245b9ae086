"""Masks corrected by confident predictions, for classes whose early learning has ended (ADELE)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unshaken.core.masks import IGNORED

Constraint = Literal["both", "single"]
Ignore = Literal["none", "changed", "removed"]
LOST, EMPTY = 0.5, 0.95
"""An image is left as it is if more than this share of its foreground would go and more than this be background."""


def is_confident(probabilities: Tensor, foreground: float = 0.7, background: float = 0.7) -> Tensor:
    """Whether a pixel's prediction is sure enough: `max_{k >= 1} q_k > foreground` or `q_0 > background`.

    Args:
        probabilities: `[N, K, H, W]`; class 0 is the background.
        foreground: threshold of the other classes, in [0, 1].
        background: threshold of class 0.

    Returns:
        bool `[N, H, W]`.
    """
    return (probabilities[:, 1:].amax(1) > foreground) | (probabilities[:, 0] > background)


def classes_present(labels: Tensor, classes: int) -> Tensor:
    """Which classes each mask has a pixel of, bool `[N, K]`; ignored pixels count for none.

    Args:
        labels: `[N, H, W]`.
        classes: number of classes K.
    """
    flat = labels.flatten(1).long()
    known = flat != IGNORED
    counts = torch.zeros(len(flat), classes, dtype=torch.int64, device=flat.device)
    return counts.scatter_add_(1, flat.where(known, torch.zeros_like(flat)), known.long()) > 0


def correct_masks(
    labels: Tensor,
    predicted: Tensor,
    confident: Tensor,
    on: Tensor,
    *,
    due: Tensor | None = None,
    constraint: Constraint = "both",
    ignore: Ignore = "none",
) -> Tensor:
    """Replace labels by confident predictions, where the classes concerned may be corrected.

    A pixel becomes the predicted class if the prediction is confident, is background or a class that is on and that
    the mask has already, and if its label is background or a class that is on (`both`).

    Args:
        labels: masks as they are now, `[N, H, W]`; pixels of `IGNORED` stay.
        predicted: classes `[N, H, W]`.
        confident: bool `[N, H, W]`; see `is_confident`.
        on: bool `[K]`, classes that may be corrected; the background always may.
        due: bool `[K]`, classes of which a mask must have one to be touched; default `on`.
        constraint: `both` as on SegTHOR; `single` as on PASCAL VOC: the label may be of any class, masks of background
            alone are corrected too, and by any class that is on; and a mask is left as it is that would lose more than
            half of its foreground and be background to more than 95 %.
        ignore: `none`; `changed` sets pixels to `IGNORED` that would change (VOC's option); `removed` replaces, and
            sets every pixel to it that is labelled as foreground and predicted as background, however surely
            (SegTHOR's option, which the published code calls `logic_255`).

    Returns:
        New masks, of the type of `labels`.

    Source: Liu et al. 2022, arXiv:2110.03740.
    """
    free = on.clone()
    free[0] = True
    present = classes_present(labels, len(on))
    foreground = on if due is None else due
    foreground = foreground.clone()
    foreground[0] = False
    touched = (present & foreground).any(1)
    bare = ~present[:, 1:].any(1)
    if constraint == "single":
        touched |= bare & bool(foreground.any())
    allowed = present | (bare[:, None] if constraint == "single" else False)
    allowed[:, 0] = True
    wanted = predicted.long()
    given = labels.long()
    known = given != IGNORED
    change = confident & known & free[wanted] & touched[:, None, None]
    change &= allowed.gather(1, wanted.flatten(1)).view_as(wanted)
    if constraint == "both":
        change &= free[given.where(known, torch.zeros_like(given))]
    if constraint == "single":
        change &= ~_would_empty(given, torch.where(change, wanted, given))[:, None, None]
    found = torch.where(change, wanted, given)
    if ignore == "changed":
        found = torch.where(change & (wanted != given), IGNORED, given)
    elif ignore == "removed":
        gone = known & (given > 0) & (wanted == 0) & touched[:, None, None]
        found = torch.where(gone, IGNORED, found)
    return found.to(labels.dtype)


def _would_empty(before: Tensor, after: Tensor) -> Tensor:
    """Masks that would lose more than half of their foreground and be almost all background, bool `[N]`."""
    known = before != IGNORED
    was, left = (((m > 0) & known).flatten(1).sum(1) for m in (before, after))
    total = known.flatten(1).sum(1).clamp(min=1)
    return (left < (1 - LOST) * was) & ((total - left) > EMPTY * total)

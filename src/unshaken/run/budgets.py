"""Budgets that fit the data: linf 0.1 for drawn digits and the like, 8/255 for natural photos. Decided here alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from unshaken.run.plan import Entry

PHOTOS = 8 / 255
"""Largest linf budget of natural photos: beyond it changes are plainly seen (Croce et al. 2021, RobustBench)."""
DRAWINGS = 0.1
"""Largest linf budget of small drawings on a flat ground, such as MNIST (Madry et al. 2018) and Fashion-MNIST."""
MOST_SIDE, LEAST_FLAT = 64, 0.2
"""Drawings have this side in pixels at most, and at least this share of pixels that are exactly black or white."""


def is_drawing(images: Tensor) -> bool:
    """Whether images are digits or the like: small, grey, on a flat ground.

    Args:
        images: `[N, C, H, W]` in [0, 1].
    """
    grey = bool((images == images[:, :1]).all())
    flat = float(((images == 0) | (images == 1)).float().mean())
    return grey and max(images.shape[2:]) <= MOST_SIDE and flat >= LEAST_FLAT


def largest_budget(images: Tensor) -> float:
    """The largest linf budget that fits the data.

    Args:
        images: some of it, `[N, C, H, W]` in [0, 1].
    """
    return DRAWINGS if is_drawing(images) else PHOTOS


def fit_budgets(entries: Sequence[Entry], images: Tensor) -> tuple[list[Entry], str]:
    """The lines of a named plan without linf budgets too large for the data; a line left without any is dropped.

    Args:
        entries: of the plan.
        images: some of the data, `[N, C, H, W]` in [0, 1].

    Returns:
        The lines, and a remark in one line; empty where no line has a linf budget.
    """
    most, found, budgets = largest_budget(images), list[Entry](), False
    for entry in entries:
        if entry.norm in (None, "linf") and entry.eps:
            budgets = True
            entry = entry.model_copy(update={"eps": tuple(e for e in entry.eps if e <= most)})
            if not entry.eps:
                continue
        found.append(entry)
    height, width = images.shape[2:]
    what = f"{'grey' if images.shape[1] == 1 else 'colour'} images of {width} x {height} pixels"
    if most == DRAWINGS:
        return found, f"linf budgets go up to 0.1: {what} on a flat ground, like digits" if budgets else ""
    return found, f"linf budgets go up to 8/255: {what} are taken for natural photos" if budgets else ""

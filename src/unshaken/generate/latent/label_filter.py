"""Which directions keep the class of an image, and which statistics of an image they move."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.generate.latent.natural_edits import NaturalEdits

MOST_CHANGED = 0.1
"""Share of images whose class an edit along a direction may change, for the direction to be kept."""
PLACES = (-1.0, -0.5, 0.5, 1.0)
"""Amounts at which statistics are read, as shares of the amplitude."""


@torch.no_grad()
def changed_shares(
    edits: NaturalEdits, classify: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, amplitude: float
) -> Tensor:
    """Share of correctly classified images whose class changes at one end or the other of each direction, `[k]`.

    Args:
        edits: the directions.
        classify: a reference classifier that is not trained or attacked by these edits: images to classes, int64 `[N]`.
        images: `[N, C, H, W]` in [0, 1], apart from those that it learned.
        labels: int64 `[N]`.
        amplitude: the ends, in deviations of the training codes.

    Raises:
        DataError: all images are of one class, or none is classified correctly.
    """
    if len(torch.unique(labels)) < 2:
        raise DataError("all images are of one class: whether an edit keeps the class shows on two classes or more")
    right = classify(images) == labels
    if not bool(right.any()):
        raise DataError("the reference classifier is right on none of the images: use one that knows these classes")
    shown, wanted = images[right], labels[right]
    codes = edits.encode(shown)
    base = edits.rebuild(codes)
    shares = []
    for j in range(edits.count):
        changed = torch.zeros(len(shown), dtype=torch.bool, device=shown.device)
        for end in (-amplitude, amplitude):
            changed |= classify(edits.edit(shown, codes, _along(edits, j, end, len(shown)), base)) != wanted
        shares.append(widen(changed).mean())
    return torch.stack(shares).float()


def brightness(images: Tensor) -> Tensor:
    """Mean of all pixels, `[N]`."""
    return images.flatten(1).mean(1)


def contrast(images: Tensor) -> Tensor:
    """Deviation of all pixels, `[N]`."""
    return images.flatten(1).std(1)


def area(images: Tensor) -> Tensor:
    """Share of pixels above one half, `[N]`."""
    return (images > 0.5).float().flatten(1).mean(1)


def sharpness(images: Tensor) -> Tensor:
    """Mean size of the difference of neighbouring pixels, `[N]`."""
    down, right = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return down.flatten(1).mean(1) + right.flatten(1).mean(1)


def extent(images: Tensor) -> Tensor:
    """Root mean squared distance of brightness from its centre, as a share of the side, `[N]`."""
    return (_moment(images, "yy") + _moment(images, "xx")).clamp(min=0).sqrt()


def slant(images: Tensor) -> Tensor:
    """Covariance of row and column under brightness, in squares of the side, `[N]`."""
    return _moment(images, "xy")


STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "brightness": brightness, "contrast": contrast, "area": area, "sharpness": sharpness, "extent": extent,
    "slant": slant,
}  # fmt: skip


@torch.no_grad()
def statistic_correlations(edits: NaturalEdits, images: Tensor, amplitude: float) -> dict[str, Tensor]:
    """Correlation of the amount of each direction with the change of each statistic, `[k]` by statistic.

    A direction whose correlation is near 1 or -1 is that statistic; robustness to a shift of the statistic is then
    what was trained.

    Args:
        edits: the directions.
        images: `[N, C, H, W]` in [0, 1].
        amplitude: largest amount, in deviations of the training codes.
    """
    codes = edits.encode(images)
    base = edits.rebuild(codes)
    before = {name: read(images) for name, read in STATISTICS.items()}
    found: dict[str, list[Tensor]] = {name: [] for name in STATISTICS}
    for j in range(edits.count):
        changes: dict[str, list[Tensor]] = {name: [] for name in STATISTICS}
        for place in PLACES:
            edited = edits.edit(images, codes, _along(edits, j, place * amplitude, len(images)), base)
            for name, read in STATISTICS.items():
                changes[name].append(read(edited) - before[name])
        amounts = torch.tensor(PLACES, device=images.device).repeat_interleave(len(images))
        for name, parts in changes.items():
            found[name].append(_correlation(amounts, torch.cat(parts)))
    return {name: torch.stack(values) for name, values in found.items()}


def _along(edits: NaturalEdits, j: int, amount: float, n: int) -> Tensor:
    amounts = torch.zeros(n, edits.count, device=edits.scales.device)
    amounts[:, j] = amount
    return amounts


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's; 0 where a side does not vary."""
    a, b = widen(one) - widen(one).mean(), widen(other) - widen(other).mean()
    size = (a.square().sum() * b.square().sum()).sqrt()
    return torch.where(size > 0, (a * b).sum() / size.clamp(min=1e-30), 0.0).float()


def _moment(images: Tensor, axes: str) -> Tensor:
    """A central moment of second order of brightness over places, in units of the side."""
    light = images.mean(1)
    light = light / light.sum((1, 2), keepdim=True).clamp(min=1e-12)
    height, width = light.shape[1:]
    y = torch.arange(height, device=images.device)[:, None] / height
    x = torch.arange(width, device=images.device)[None] / width
    centred = {name: place - (light * place).sum((1, 2), keepdim=True) for name, place in {"y": y, "x": x}.items()}
    return (light * centred[axes[0]] * centred[axes[1]]).sum((1, 2))

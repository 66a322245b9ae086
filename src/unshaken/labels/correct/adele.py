"""Masks corrected by confident predictions once the early learning of a class has ended, found from a curve (ADELE).

A network first learns what most labels say of a class, fast, and then the wrong ones, slowly. The curve of the class's
intersection over union in training is fitted by `f(x) = a (1 - exp(-x^b / c))`; early learning has ended where its
slope has fallen by more than a share `r`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor

from unshaken.core.masks import IGNORED
from unshaken.measure.statistics.columns import Numbers

Grid = Literal["published", "epochs"]
FEWEST = 3
"""Points that a curve needs to be fitted."""
STEP = 0.1
"""Gain of one epoch below which a class has not started to be learned."""
LEARNED = 0.1
"""Intersection over union above which a class counts as started, however slowly it gains."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The parameters of `f(x) = a (1 - exp(-x^b / c))`.

    Args:
        a: in [0, 1]; where it ends.
        b: in [0, 1].
        c: at least 0; the larger, the slower.
    """

    a: float
    b: float
    c: float

    def __call__(self, x: Numbers) -> Numbers:
        """The values at `x`, at least 0."""
        return self.a * (1 - np.exp(-(x**self.b) / self.c))

    def slope(self, x: Numbers) -> Numbers:
        """The derivative at `x`, above 0."""
        return (self.a * self.b / self.c) * x ** (self.b - 1) * np.exp(-(x**self.b) / self.c)

    def relative_change(self, epochs: int) -> Numbers:
        """`R(e) = |f'(e) - f'(1)| / |f'(1)|` at e = 1 to `epochs`; values above 1 are 0, as published."""
        slopes = self.slope(np.arange(1.0, epochs + 1))
        change = np.abs(slopes - slopes[0]) / np.abs(slopes[0])
        return np.where(change > 1, 0.0, change)


def fit_curve(values: Sequence[float] | Numbers, grid: Grid = "published") -> Curve | None:
    """Fit a curve by least squares; the last point counts 100 times as much as the first.

    Args:
        values: intersection over union after each epoch, in [0, 1].
        grid: where the points lie: `published` from 0 to n in n points, as in the published code; `epochs` at 1 to n.

    Returns:
        The curve; None for fewer than 3 points, or where the fit fails.
    """
    y = np.asarray(values, np.float64)
    n = len(y)
    if n < FEWEST or not np.isfinite(y).all():
        return None
    x = np.linspace(0, n, n) if grid == "published" else np.arange(1.0, n + 1)

    def model(x: Numbers, a: float, b: float, c: float) -> Numbers:
        return a * (1 - np.exp(-(x**b) / c))

    bounds = ([0.0, 0.0, 0.0], [1.0, 1.0, np.inf])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", OptimizeWarning)  # an exact fit has no covariance
            found, _ = curve_fit(model, x, y, (1.0, 1.0, 1.0), sigma=np.geomspace(1, 0.1, n), bounds=bounds)
    except (RuntimeError, ValueError):
        return None
    a, b, c = map(float, found)
    return Curve(a, b, c) if a > 0 and b > 0 and c > 0 else None


def count_unlearned(values: Sequence[float] | Numbers, *, learned: float | None = LEARNED) -> int:
    """Count the epochs at the beginning in which a class has not started to be learned: each gains less than 0.1.

    Args:
        values: intersection over union after each epoch.
        learned: a class above this has started, whatever it gains; None as published, where a class that gains slowly
            is never taken for started.

    >>> count_unlearned([0.0, 0.01, 0.02, 0.25]), count_unlearned([0.05, 0.12, 0.15]), count_unlearned([0.0, 0.0])
    (2, 1, 1)
    """
    y = np.asarray(values, np.float64)
    for place in range(len(y) - 1):
        if y[place + 1] - y[place] >= STEP or (learned is not None and y[place] > learned):
            return place
    return max(0, len(y) - 1)


def start_of_correction(
    values: Sequence[float] | Numbers,
    *,
    threshold: float = 0.9,
    epochs: int | None = None,
    grid: Grid = "published",
    skip: bool = True,
    learned: float | None = LEARNED,
) -> int | None:
    """The epoch after which labels of a class may be corrected, `t_c`, counted from 0; None where it cannot be found.

    `t_c = 1 + #{e in 1..E-1: R(e) <= r}`, after leading epochs without learning were left out; these are added again.

    Args:
        values: intersection over union of the class after each epoch.
        threshold: `r`, share by which the slope must have fallen, in (0, 1).
        epochs: `E`, epochs among which to look; default the number of values.
        grid: see `fit_curve`.
        skip: whether leading epochs without learning are left out; see `count_unlearned`.
        learned: see `count_unlearned`.

    Source: Liu et al. 2022, arXiv:2110.03740.
    """
    y = np.asarray(values, np.float64)
    dropped = count_unlearned(y, learned=learned) if skip else 0
    curve = fit_curve(y[dropped:], grid)
    if curve is None:
        return None
    change = curve.relative_change(max(1, (len(y) if epochs is None else epochs) - 1))
    return dropped + 1 + int((change <= threshold).sum())


def has_started(start: int | None, finished: int) -> bool:
    """Whether a class is corrected after `finished` finished epochs: `finished - 1 >= t_c`.

    Args:
        start: `t_c`; None where it is not known.
        finished: epochs that have ended.
    """
    return start is not None and finished - 1 >= start


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
        after = torch.where(change, wanted, given)
        before, left = (((m > 0) & known).flatten(1).sum(1) for m in (given, after))
        total = known.flatten(1).sum(1).clamp(min=1)
        emptied = (left < (1 - LOST) * before) & ((total - left) > EMPTY * total)
        change &= ~emptied[:, None, None]
    found = torch.where(change, wanted, given)
    if ignore == "changed":
        found = torch.where(change & (wanted != given), IGNORED, given)
    elif ignore == "removed":
        gone = known & (given > 0) & (wanted == 0) & touched[:, None, None]
        found = torch.where(gone, IGNORED, found)
    return found.to(labels.dtype)

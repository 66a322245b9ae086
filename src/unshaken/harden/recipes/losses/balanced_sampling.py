"""Balanced sampling: images of small classes are drawn more often; and imbalanced training sets to try it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Memory, Recipe, Setup
from unshaken.measure.statistics.columns import integers


def imbalanced(
    labels: ArrayLike, *, ratio: float, classes: Sequence[int] | None = None, largest: int | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Rows of which class j of K has `round(n R^(-j / (K - 1)))`: the last is R times rarer than the first.

    Sets of several ratios are nested, with the same seed: the rows of a larger ratio are among those of a smaller one.

    Args:
        labels: int `[N]`.
        ratio: R, at least 1.
        classes: from the largest (majority) to the smallest; others are left out. None: all, in ascending order.
        largest: n of the first class; None for the most that every class allows.
        seed: of the choice.

    Returns:
        Rising rows, int64.

    Raises:
        ParameterError: a number is not allowed, or fewer than two classes are named.
        DataError: a class has too few rows.
    """
    column = integers("labels", labels)
    names = np.unique(column).tolist() if classes is None else list(classes)
    if not ratio >= 1 or not np.isfinite(ratio):
        raise ParameterError(f"ratio must be a finite number of at least 1, not {ratio}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise ParameterError(f"classes must be two or more, each once, not {names}")
    profile = ratio ** -(np.arange(len(names)) / (len(names) - 1))
    rows = [np.flatnonzero(column == name) for name in names]
    most = min(int((len(r) + 0.49) / p) for r, p in zip(rows, profile, strict=True))
    n = most if largest is None else largest
    if n < 1 or n > most:
        absent = [name for name, r in zip(names, rows, strict=True) if not len(r)]
        why = f"class {absent[0]} has no row" if absent else f"{n} of the first class need more rows than there are"
        raise DataError(f"{why}: at ratio {ratio:g} the first class can have 1..{most}")
    wanted = np.maximum(1, np.round(n * profile).astype(np.int64))
    orders = (
        SampleRng.of(seed, "imbalance", [str(name)]).generators()[0].permutation(len(r))[:k]
        for name, r, k in zip(names, rows, wanted, strict=True)
    )
    return np.sort(np.concatenate([r[o] for r, o in zip(rows, orders, strict=True)]))


WEIGHTS = "weights"


@register("balanced-sampling", reference="Kang et al. 2020, arXiv:1910.09217")
class BalancedSampling(Recipe):
    """Balanced sampling: each class is drawn as often, whatever its number of images.

    Images are drawn with replacement. Beside mixup, where `class-balanced` cannot be: that weighs the labels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"sampling"})

    power: float = Field(
        default=1.0, ge=0, le=1, description="1 draws classes evenly, 0 images, 0.5 by the root of their size"
    )

    @override
    def begin(self, setup: Setup) -> None:
        """Weigh each image by `n_k^-power`, k its label."""
        rows, labels, _ = setup.evaluate(lambda images: images.new_zeros(len(images)))
        weights = torch.zeros(setup.samples, device=setup.images.device)
        counts = torch.bincount(labels, minlength=setup.classes).float()
        weights[rows] = counts[labels] ** -self.power
        setup.memory[WEIGHTS] = weights

    @override
    def sampling(self, memory: Memory) -> Tensor | None:
        return memory[WEIGHTS]

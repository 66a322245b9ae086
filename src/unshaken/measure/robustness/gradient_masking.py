"""Masked gradients: does a model hold, or does it only hide where to push?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.accuracy import accuracy
from unshaken.measure.statistics.columns import Flags, flags, same_length
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.paired import compare

VANISHING = 0.01
"""Share of samples without a gradient above which gradients count as masked."""
AHEAD = 0.05
"""Accuracy that a loss which does not saturate may take beyond the cross-entropy, in one step of the same length."""
BEYOND = 0.002
"""Share of the samples that attacks without gradients may break beyond those with."""


@dataclass(frozen=True, slots=True)
class Masking:
    """Accuracies under attacks of several kinds, and the signs of masked gradients in them.

    Args:
        zero: share of the samples whose cross-entropy has a gradient of exactly zero.
        plain: accuracy under the attack on the cross-entropy.
        strongest: accuracy under all attacks together.
        gap: `plain` less `strongest`, the robustness that was only apparent.
        reasons: the signs that were met, in words; empty when none was.
    """

    zero: Figure
    plain: Figure
    strongest: Figure
    gap: Figure
    reasons: tuple[str, ...]

    @property
    def masked(self) -> bool:
        """Whether any sign of masked gradients was met."""
        return bool(self.reasons)


def gradient_masking(
    zero: ArrayLike,
    plain: ArrayLike,
    soft: Mapping[str, ArrayLike],
    *,
    gradients: Mapping[str, ArrayLike] | None = None,
    blind: Mapping[str, ArrayLike] | None = None,
    unbounded: ArrayLike | None = None,
    classes: int | None = None,
) -> Masking:
    """The verdict from columns of rows, one entry a sample, all in the same order.

    A sign is any of: (1) more than 1 % of the samples have a gradient of exactly zero; (2) one step along a loss that
    does not saturate leaves an accuracy more than 5 points below that of one step along the cross-entropy; (3) attacks
    without gradients break more than 0.2 % of the samples (and more than one) that none with gradients breaks; (4)
    without a bound on the change, accuracy is above chance, its interval included.

    Args:
        zero: bool `[N]`: the gradient of the cross-entropy by the image is exactly zero, in float32.
        plain: bool `[N]`: still right after one step along the cross-entropy.
        soft: by name, still right after one step as long, along the cross-entropy at a temperature or the margin.
        gradients: by name, still right after longer searches that follow gradients.
        blind: by name, still right after searches that do not follow the model's own gradients, or after transfer.
        unbounded: still right after a search without a bound.
        classes: number of classes K, for chance; needed with `unbounded`.

    Raises:
        ParameterError: a column is empty or has missing values, lengths differ, or K is not given.

    Source: Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705.
    """
    gone, one = flags("zero", zero), flags("plain", plain)
    softer, longer, without = (_columns(c or {}) for c in (soft, gradients, blind))
    everything = [one, *softer.values(), *longer.values(), *without.values()]
    same_length(zero=gone, **{f"column{i}": c for i, c in enumerate(everything)})
    reasons = []
    vanishing = share(int(gone.sum()), len(gone))
    if vanishing.value > VANISHING:
        reasons.append(f"the gradient is exactly zero on {vanishing.value:.0%} of the samples")
    for name, column in softer.items():
        ahead = float(one.mean() - column.mean())
        if ahead > AHEAD:
            reasons.append(f"{name} leaves {100 * ahead:.1f} points less accuracy than the cross-entropy")
    reached = np.logical_and.reduce([one, *softer.values(), *longer.values()])
    for name, column in without.items():
        only = int((reached & ~column).sum())
        if only > max(1, BEYOND * len(one)):
            reasons.append(f"{name} breaks {only} samples that no attack with gradients breaks")
    if unbounded is not None:
        if classes is None:
            raise ParameterError("gradient masking: give classes with unbounded; chance is one in so many")
        left = accuracy(flags("unbounded", unbounded))
        if left.low > 1 / classes:
            reasons.append(f"without a bound accuracy is {left.value:.3f}, above chance ({1 / classes:.3f})")
    strongest = np.logical_and.reduce(everything)
    return Masking(vanishing, accuracy(one), accuracy(strongest), compare(strongest, one).difference, tuple(reasons))


def _columns(found: Mapping[str, ArrayLike]) -> dict[str, Flags]:
    return {name: flags(name, values) for name, values in found.items()}

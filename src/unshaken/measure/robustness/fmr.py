"""FMR: accuracy on images perturbed as far as an oracle allows, over accuracy on the unchanged ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Numbers, flags, integers, numbers, same_length
from unshaken.measure.statistics.intervals import (
    Figure,
    bootstrap_figure,
    bootstrap_means,
    clopper_pearson,
    percent,
    share,
)
from unshaken.measure.statistics.spread import corners, figure_of_means


@dataclass(frozen=True, slots=True)
class OracleRobustness:
    """Foundation-model-oriented robustness of a model, over one set of images.

    Args:
        standard: SA, accuracy on the unchanged images.
        perturbed: PA, accuracy on the perturbed ones, of the same images.
        fmr: PA / SA, 1 where nothing is lost; it may exceed 1.
        validated: VR, the share of all images whose start the oracle approves of.
        stepped: the share of all images with at least one step that it approved of; at most VR.
    """

    standard: Figure
    perturbed: Figure
    fmr: Figure
    validated: Figure
    stepped: Figure


def fmr_ratio(standard: float, perturbed: float) -> float:
    """FMR = PA / SA.

    Args:
        standard: SA in (0, 1].
        perturbed: PA in [0, 1].

    Raises:
        ParameterError: SA is 0, so that there is nothing to compare with, or a share is outside [0, 1].

    >>> round(fmr_ratio(0.8, 0.6), 4)
    0.75
    """
    if not (0 <= standard <= 1 and 0 <= perturbed <= 1):
        raise ParameterError(f"accuracies must lie in [0, 1], not SA={standard}, PA={perturbed}")
    if standard == 0:
        raise ParameterError("FMR is PA / SA, and SA is 0: the model is right on none of the unchanged images")
    return perturbed / standard


def fmr(
    standard: ArrayLike,
    perturbed: ArrayLike,
    validated: ArrayLike,
    accepted: ArrayLike,
    *,
    only_validated: bool = True,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> OracleRobustness:
    """FMR with its parts, each with an interval.

    Args:
        standard: bool `[N]`: correct on the unchanged image.
        perturbed: bool `[N]`: correct on the perturbed one; an image that was not validated is unchanged.
        validated: bool `[N]`: the oracle sees the class in the start of the search.
        accepted: int `[N]`: steps that it approved of, 0 where not validated.
        only_validated: take SA and PA over the validated images; else both over all.
        level: coverage of the intervals.
        resamples: draws of images, both columns together, for the interval of the ratio.
        seed: of the draws.

    Raises:
        ParameterError: no image is validated, SA is 0, a step was accepted of an image that is not validated, a value
            is missing, or lengths differ.

    >>> one = fmr([1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [3, 1, 0, 2, 0])
    >>> round(one.fmr.value, 2), one.validated.value, one.stepped.value
    (0.75, 1.0, 0.6)
    """
    right, held = flags("standard", standard), flags("perturbed", perturbed)
    known, steps = flags("validated", validated), integers("accepted", accepted)
    n = same_length(standard=right, perturbed=held, validated=known, accepted=steps)
    if bool(((steps > 0) & ~known).any()):
        raise ParameterError("a step was accepted of an image that is not validated: the columns do not fit each other")
    chosen = known if only_validated else np.ones(n, bool)
    if not chosen.any():
        raise ParameterError(f"none of {n} images is validated: the oracle does not see their classes")
    ratio = _ratio(right[chosen], held[chosen], level, resamples, seed)
    return OracleRobustness(
        share(int(right[chosen].sum()), int(chosen.sum()), level=level),
        share(int(held[chosen].sum()), int(chosen.sum()), level=level),
        ratio,
        share(int(known.sum()), n, level=level),
        share(int((steps > 0).sum()), n, level=level),
    )


def fmr_difference(
    standard: tuple[ArrayLike, ArrayLike],
    perturbed: tuple[ArrayLike, ArrayLike],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Figure:
    """FMR of a candidate less that of a baseline, paired: both were perturbed from the same images, in the same order.

    Several networks of one kind may stand for one: give the share of them that are correct on each image.

    Args:
        standard: of the baseline and of the candidate, each `[N]` in [0, 1]: correct on the unchanged image.
        perturbed: of the same two, on the perturbed image.
        level: coverage of the interval.
        resamples: draws of images.
        seed: of the draws.

    Raises:
        ParameterError: an SA is 0, a value is outside [0, 1] or missing, or lengths differ.

    >>> fmr_difference(([1, 1, 1, 1], [1, 1, 0, 1]), ([0, 1, 0, 0], [1, 1, 0, 1])).value
    0.75
    """
    pairs = {"standard": standard, "perturbed": perturbed}
    named = {
        f"{name} of the {side}": values
        for name, pair in pairs.items()
        for side, values in zip(("baseline", "candidate"), pair, strict=True)
    }
    columns = {name: numbers(name, values, low=0, high=1) for name, values in named.items()}
    same_length(**columns)
    values = np.stack(list(columns.values()), 1)
    means = values.mean(0)
    for side in (0, 1):
        fmr_ratio(means[side], means[side + 2])  # refuses an SA of 0
    return figure_of_means(
        values, _difference, possible=partial(corners, 4), level=level, resamples=resamples, seed=seed
    )


def _difference(means: Numbers) -> Numbers:
    """The difference of two FMR from means `[..., 4]`; not finite where an SA is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(means[..., 3] / means[..., 1] - means[..., 2] / means[..., 0])


def _ratio(right: Flags, held: Flags, level: float, resamples: int, seed: int) -> Figure:
    value = fmr_ratio(float(right.mean()), float(held.mean()))
    n, base = len(right), int(right.sum())
    bound = float(clopper_pearson(0, base, level=level)[1])
    if not (right ^ held).any():  # nothing lost or gained: all draws are 1
        return Figure(1.0, 1 - bound, 1 + bound, n, f"clopper-pearson {percent(level)} (no discordant pair)")
    if not held.any():
        return Figure(0.0, 0.0, bound, n, f"clopper-pearson {percent(level)} (nothing held)")
    draws = bootstrap_means(np.stack([right, held], 1).astype(np.float64), resamples=resamples, seed=seed)
    draws = draws[draws[:, 0] > 0]
    return bootstrap_figure(value, draws[:, 1] / draws[:, 0], n, level=level)

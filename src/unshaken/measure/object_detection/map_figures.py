"""mAP and its drop under a shift, with intervals from halves of the images.

An image that is drawn twice finds its objects twice, so that the bootstrap's samples look easier than new images are.
Halves without repetition have the same spread about the whole as the whole has about the truth, and show the bias:
average precision takes the highest precision at each recall, which flatters small samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.operating_points import interval
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.matching import Matches
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure, percent
from unshaken.measure.statistics.means import alike_figure

AT_ONCE = 50
"""Halves computed at once."""
BIAS = 2.0
"""The bias of the whole over what halves add to it: it falls with the root of the number of images, or faster."""
DOUBT = 1 / 3
"""The standard error of that bias, as a share of it."""
SLOPE = 0.45
"""COCO-O's line: the mAP under its shifts that goes with a clean one, for detectors trained on COCO."""
_SAME = 1e-9
"""Draws that lie this close together are alike but for rounding."""
Line = Callable[[Numbers], Numbers]


@dataclass(frozen=True, slots=True)
class Maps:
    """mAP of one set of images, and of halves of it.

    Args:
        value: on all images, in [0, 1].
        draws: `[B]`; draws of the same seed and number of images are of the same images.
        images: their number.
    """

    value: float
    draws: Numbers
    images: int


def resampled_map(
    matched: Matches, *, threshold: int | None = None, area: str = "all", resamples: int = 1000, seed: int = 0
) -> Maps:
    """mAP, and its draws, from one matching.

    Args:
        matched: detections and objects.
        threshold: index of one threshold, such as 0 for AP50; None for the mean over all.
        area: a name of `AREAS`.
        resamples: B halves, at least 2; each comes with the other half.
        seed: of the draws.

    Raises:
        ParameterError: there is no object in this range of areas, a single image, or resamples is below 2.
    """
    if resamples < 2 or matched.images < 2:
        raise ParameterError(f"{resamples} halves of {matched.images} images: both must be at least 2")
    value = float(mean_average_precision(average_precision(matched, area=area), threshold))
    if np.isnan(value):
        raise ParameterError(f"there is no object of area {area!r} that counts: mAP needs one")
    rng, parts = np.random.default_rng(seed), []
    for first in range(0, resamples, AT_ONCE):
        weights = draw_halves(rng, matched.images, min(AT_ONCE, resamples - first))
        parts.append(mean_average_precision(average_precision(matched, weights, area=area), threshold))
    draws = np.concatenate(parts)
    return Maps(value, np.where(np.isnan(draws), value, draws), matched.images)


def map_figure(maps: Maps, *, level: float = 0.95) -> Figure:
    """The figure of mAP: bias and standard error of the halves, on the logit scale.

    Where no half differs from the whole, as at 0 under an attack, as many other images as n can miss may have none of
    their objects found, or all: that holds where images have about as many objects.

    Args:
        maps: of `resampled_map`.
        level: coverage, approximately.
    """
    if np.ptp(maps.draws) < _SAME:
        return alike_figure(maps.value, maps.images, low=0.0, high=1.0, level=level, sums=2)
    inside = 0 < maps.value < 1
    # draws whose distance to the value is its bias, and whose spread holds the doubt about that bias
    bias, spread = BIAS * (maps.draws.mean() - maps.value), maps.draws.std()
    wider = np.hypot(1, DOUBT * bias / spread)
    draws = np.asarray(maps.value + bias + wider * (maps.draws - maps.draws.mean()))
    found = interval(maps.value, draws, [0.0, 1.0], maps.images, level, logit=inside)
    return replace(found, interval=_method(len(draws), level))


def map_difference(baseline: Maps, candidate: Maps, *, level: float = 0.95) -> Figure:
    """The candidate's mAP less the baseline's, paired: both on the same images, drawn together.

    Args:
        baseline: of `resampled_map`.
        candidate: of the same images in the same order, with the same seed.
        level: coverage, approximately.

    Raises:
        ParameterError: the images or draws are not as many.
    """
    if (baseline.images, len(baseline.draws)) != (candidate.images, len(candidate.draws)):
        raise ParameterError(
            f"a paired difference needs the same images: {baseline.images} came with {candidate.images}, and "
            f"{len(baseline.draws)} draws with {len(candidate.draws)}"
        )
    value = candidate.value - baseline.value
    alike = alike_figure(value, baseline.images, low=-1.0, high=1.0, level=level, sums=2)
    return _centred(value, candidate.draws - baseline.draws, (alike.low, alike.high), baseline.images, level)


@dataclass(frozen=True, slots=True)
class ShiftedMap:
    """mAP under several shifts, compared with the clean one.

    Args:
        mean: the mean of the shifts' mAP, each with the same weight whatever its number of images.
        relative_drop: `1 - mean / clean`.
        effective_robustness: the mean less what the line foretells of the clean mAP.
    """

    mean: Figure
    relative_drop: Figure
    effective_robustness: Figure


def shifted_map(
    clean: Maps, shifted: Sequence[Maps], *, line: Line = lambda clean: SLOPE * clean, level: float = 0.95
) -> ShiftedMap:
    """How much of mAP is left under shifts, and how much more than a line of detectors foretells.

    Shifts of the same images are drawn together with the clean ones where they have the same seed.

    Args:
        clean: of `resampled_map`.
        shifted: of each shift.
        line: from clean mAP in [0, 1] to that under the shifts; COCO-O's by default, which holds for detectors
            trained on COCO alone. See `unshaken.measure.fit_line` for a line through detectors of one's own.
        level: coverage, approximately.

    Raises:
        ParameterError: there is no shift, the clean mAP is 0, or the numbers of draws differ.

    Source: Mao et al. 2023, arXiv:2307.12730 (COCO-O).
    """
    if not shifted or clean.value == 0:
        raise ParameterError("a drop needs a clean mAP above 0 and at least one shift")
    if {len(m.draws) for m in shifted} != {len(clean.draws)}:
        raise ParameterError("all mAPs of one comparison need the same number of draws")
    values = np.array([m.value for m in shifted])
    draws = np.stack([m.draws for m in shifted])

    own, others = _unseen(clean.value, clean.images, level), _unseen(values, clean.images, level)
    corners = np.repeat(own, 2), np.concatenate([others, others], axis=1)

    def figure(of: Callable[[Numbers, Numbers], Numbers]) -> Figure:
        value = of(np.array([clean.value]), values[:, None])[0]
        return _centred(float(value), of(clean.draws, draws), of(*corners).tolist(), clean.images, level)

    drop = figure(lambda x, moved: 1 - moved.mean(0) / np.maximum(x, 1e-12))
    return ShiftedMap(
        mean=map_figure(Maps(float(values.mean()), draws.mean(0), clean.images), level=level),
        relative_drop=replace(drop, high=min(drop.high, 1.0)),  # no mAP is below 0
        effective_robustness=figure(lambda x, moved: moved.mean(0) - line(x)),
    )


def beyond_line(clean: Maps, shifted: Sequence[Maps], *, line: Line = lambda clean: SLOPE * clean) -> Maps:
    """Effective robustness with its draws, for the difference of two detectors by `map_difference`.

    Args:
        clean: of `resampled_map`.
        shifted: of each shift, with as many draws.
        line: as in `shifted_map`.
    """
    value = np.mean([m.value for m in shifted]) - line(np.array([clean.value]))[0]
    return Maps(float(value), np.mean([m.draws for m in shifted], 0) - line(clean.draws), clean.images)


def draw_halves(rng: np.random.Generator, images: int, rows: int) -> Numbers:
    """Which images each draw holds, float32 `[rows, images]`; every second draw is the other half of that before."""
    weights: Numbers = np.zeros((rows, images), np.float32)
    for row in range(0, rows, 2):
        order = rng.permutation(images)
        weights[row, order[: images // 2]] = 1
        weights[row + 1 : row + 2, order[images - images // 2 :]] = 1
    return weights


def _unseen(value: float | Numbers, images: int, level: float) -> Numbers:
    """The least and largest mAP, `[..., 2]`, with as many other images as n can miss."""
    moved = alike_figure(0.0, images, low=0.0, high=1.0, level=level, sums=2).high
    return np.stack([value * (1 - moved), value + moved * (1 - np.asarray(value))], axis=-1)


def _centred(value: float, draws: Numbers, ends: Sequence[float], images: int, level: float) -> Figure:
    """The figure of a difference from its draws, as they lie about their mean: of two mAPs the biases are alike.

    Draws that are all alike are no certainty: `ends` have values that as many other images
    as n can miss could give it.
    """
    if np.ptp(draws) < _SAME:
        return Figure(
            value, min(*ends, value), max(*ends, value), images, f"clopper-pearson {percent(level)} (all values alike)"
        )
    low, high = np.quantile(value + draws.mean() - draws, [(1 - level) / 2, (1 + level) / 2])
    return Figure(value, float(min(low, value)), float(max(high, value)), images, _method(len(draws), level))


def _method(draws: int, level: float) -> str:
    return f"half-samples {percent(level)} ({draws})"

"""Figures of image moderation: F1 with unsafe as positive, and what always-unsafe and a coin would get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure
from unshaken.measure.statistics.spread import corners, figure_of_means

_OTHERS = corners(3)  # whether another image is unsafe, and whether it is flagged, as a real and as an AI-made one


@dataclass(frozen=True, slots=True)
class Counts:
    """Images by what they are and whether they were flagged; unsafe is positive.

    Args:
        tp: unsafe and flagged.
        fp: safe and flagged.
        fn: unsafe and let through.
        tn: safe and let through.
    """

    tp: int
    fp: int
    fn: int
    tn: int = 0

    @classmethod
    def of(cls, unsafe: ArrayLike, flagged: ArrayLike) -> Counts:
        """Count images by what they are and whether they were flagged.

        Args:
            unsafe: bool `[N]`, what the images are.
            flagged: bool `[N]`, whether they were flagged.

        Raises:
            ParameterError: there is no sample, a value is missing, or the lengths differ.
        """
        truth, marked = flags("unsafe", unsafe), flags("flagged", flagged)
        same_length(unsafe=truth, flagged=marked)
        parts = (truth & marked, ~truth & marked, truth & ~marked, ~truth & ~marked)
        return cls(*(int(part.sum()) for part in parts))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def precision(self) -> float | None:
        """Share of the flagged that is unsafe; None where nothing was flagged."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """Share of the unsafe that is flagged; None where nothing is unsafe."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """`2 TP / (2 TP + FP + FN)`; None where nothing is unsafe and nothing was flagged: it is undefined, not 0.

        >>> round(Counts(tp=40, fp=10, fn=20).f1, 6)
        0.727273
        """
        whole = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / whole if whole else None

    @property
    def prevalence(self) -> float:
        """Share of the images that is unsafe.

        Raises:
            ParameterError: there is no image.
        """
        n = self.tp + self.fp + self.fn + self.tn
        if not n:
            raise ParameterError("there is no image to count")
        return (self.tp + self.fn) / n


def pooled_f1(parts: Iterable[Counts]) -> float | None:
    """F1 of all images together ("overall"); not the mean of the parts' F1.

    >>> round(pooled_f1([Counts(9, 1, 1), Counts(10, 40, 10)]), 6)
    0.422222
    """
    return sum(parts, Counts(0, 0, 0)).f1


def macro_f1(parts: Iterable[Counts]) -> float | None:
    """The mean of the parts' F1, those without one left out.

    >>> round(macro_f1([Counts(9, 1, 1), Counts(10, 40, 10)]), 6)
    0.592857
    """
    found = [f for f in (part.f1 for part in parts) if f is not None]
    return sum(found) / len(found) if found else None


def always_unsafe_f1(prevalence: float) -> float:
    """F1 of flagging everything: `2 q / (1 + q)`, q being the share of unsafe images, in [0, 1]."""
    return 2 * _share(prevalence) / (1 + prevalence)


def coin_f1(prevalence: float) -> float:
    """F1 of a fair coin, from expected counts: `q / (q + 1/2)`."""
    return _share(prevalence) / (prevalence + 0.5)


def f1_figure(
    unsafe: ArrayLike, flagged: ArrayLike, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Figure | None:
    """F1 with a bootstrap interval over the images.

    Args:
        unsafe: bool `[N]`.
        flagged: bool `[N]`.
        resamples: bootstrap draws; those without an F1 are left out.
        seed: of the draws.
        level: coverage, approximately.

    Returns:
        The figure, or None where F1 is undefined: nothing is unsafe and nothing was flagged.
    """
    value = Counts.of(unsafe, flagged).f1
    if value is None:
        return None
    return figure_of_means(
        _terms(unsafe, flagged), _f1_of_means, possible=lambda: _terms(_OTHERS[:, 0], _OTHERS[:, 1]), level=level,
        resamples=resamples, seed=seed,
    )  # fmt: skip


def f1_by(
    groups: Sequence[str], unsafe: ArrayLike, flagged: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> dict[str, Figure | None]:
    """F1 of each group, such as a category, a source, or both as `violence/real`; see `f1_figure`.

    Args:
        groups: `[N]`, the group of each image.
        unsafe: bool `[N]`.
        flagged: bool `[N]`.
        resamples: bootstrap draws of each group.
        seed: of the draws.

    Returns:
        A figure for each group, in the order of names; None where it is undefined.
    """
    truth, marked, names = flags("unsafe", unsafe), flags("flagged", flagged), np.asarray(groups)
    same_length(groups=names, unsafe=truth, flagged=marked)
    return {
        str(name): f1_figure(truth[names == name], marked[names == name], resamples=resamples, seed=seed)
        for name in np.unique(names)
    }


def f1_gap(
    unsafe: ArrayLike,
    flagged_real: ArrayLike,
    flagged_ai: ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Figure:
    """F1 on real images minus F1 on AI-made ones of the same content, with a paired bootstrap interval.

    Args:
        unsafe: bool `[N]`, of each pair.
        flagged_real: bool `[N]`.
        flagged_ai: bool `[N]`, of the same pairs.
        resamples: bootstrap draws of whole pairs.
        seed: of the draws.
        level: coverage, approximately.

    Raises:
        ParameterError: nothing is unsafe, so that neither F1 says anything.
    """
    if not flags("unsafe", unsafe).any():
        raise ParameterError("no pair is unsafe: there is no F1 to compare")

    def pairs(truth: ArrayLike, real: ArrayLike, ai: ArrayLike) -> Numbers:
        return np.concatenate([_terms(truth, real), _terms(truth, ai)], 1)

    return figure_of_means(
        pairs(unsafe, flagged_real, flagged_ai), lambda m: _f1_of_means(m[..., :2]) - _f1_of_means(m[..., 2:]),
        possible=lambda: pairs(*_OTHERS.T), level=level, resamples=resamples, seed=seed,
    )  # fmt: skip


def best_f1_threshold(scores: ArrayLike, unsafe: ArrayLike, otherwise: float = 0.0) -> float:
    """The threshold with the best F1: scores above it are flagged; midway between two scores.

    Args:
        scores: `[N]`.
        unsafe: bool `[N]`.
        otherwise: what is given where nothing is unsafe.

    >>> best_f1_threshold([1.0, 2.0, 3.0, 4.0], [False, True, False, True])
    1.5
    """
    values, truth = numbers("scores", scores), flags("unsafe", unsafe)
    same_length(scores=values, unsafe=truth)
    if not truth.any():
        return otherwise
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], truth[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())  # 2 TP + FP + FN is flagged plus unsafe
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # no threshold lies between equal scores
    best = int(f1.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 2
    return float((ranked[best] + below) / 2)


def coverage(claims: Mapping[str, Iterable[str]], categories: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Which classifier claims which category; it is judged only there.

    Args:
        claims: classifier to the categories that it claims.
        categories: of the policy.

    Raises:
        ParameterError: a claim is no category.
    """
    claimed = {name: set(own) for name, own in claims.items()}
    for name, own in claimed.items():
        if strange := sorted(own - set(categories)):
            raise ParameterError(f"{name} claims {strange[0]!r}, which is none of {', '.join(categories)}")
    return {name: {c: c in own for c in categories} for name, own in claimed.items()}


def _share(q: float) -> float:
    if not 0 <= q <= 1:
        raise ParameterError(f"prevalence={q} must be within [0, 1]")
    return q


def _terms(unsafe: ArrayLike, flagged: ArrayLike) -> Numbers:
    """2 TP and 2 TP + FP + FN of each image, `[N, 2]`."""
    truth, marked = flags("unsafe", unsafe), flags("flagged", flagged)
    same_length(unsafe=truth, flagged=marked)
    return np.stack([2.0 * (truth & marked), truth.astype(float) + marked], 1)


def _f1_of_means(means: Numbers) -> Numbers:
    """F1 from means `[..., 2]` of `_terms`; not a number where it is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(means[..., 0] / means[..., 1])

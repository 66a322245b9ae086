"""Split-conformal threshold on abnormality scores: a promised share of normal samples is accepted, whatever the score.

A score is an abnormality score: higher is more abnormal; a sample is accepted when `score <= threshold`. All that is
assumed is that the calibration samples and the new normal sample are exchangeable (independent draws of one source, in
particular). Nothing is promised about how many abnormal samples are flagged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import scipy
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Numbers, numbers
from unshaken.measure.statistics.intervals import Figure, percent


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and what it promises.

    Args:
        value: accept a sample when its score is at most this; infinity, which accepts all, where the calibration
            samples are too few for the promise (see `needed`).
        accept: the promised share of normal samples accepted.
        confidence: None: `P(score <= value) >= accept`, over calibration and new sample together. A number: with at
            least this probability over the calibration samples, their share in all later normal samples is at least
            `accept`.
        n: calibration samples.
        k: the threshold is the k-th smallest calibration score; n + 1 stands for infinity.
        needed: the fewest calibration samples with a finite threshold.
    """

    value: float
    accept: float
    confidence: float | None
    n: int
    k: int
    needed: int

    @property
    def guarantee(self) -> str:
        """The guarantee in one sentence."""
        if self.k > self.n:
            return f"accepts everything: {self.n} calibration samples are too few, {self.needed} would do"
        if self.confidence is None:
            return f"a new normal sample is accepted with probability {self.accept:g} or more, over all calibrations"
        return (
            f"with probability {self.confidence:g} or more over the calibration samples, "
            f"at least {self.accept:g} of all normal samples are accepted"
        )

    def accepts(self, scores: ArrayLike) -> Flags:
        """Which samples are accepted, bool `[N]`; a score equal to the threshold is.

        Raises:
            ParameterError: there is no score, or one is missing.
        """
        return np.asarray(numbers("scores", scores) <= self.value)

    def accepted_share(self, *, level: float = 0.95) -> Figure:
        """Share of normal samples that this one threshold accepts, over the luck of its calibration samples.

        Without ties it is a draw of Beta(k, n + 1 - k), with mean k / (n + 1); with ties it is larger in distribution.

        Args:
            level: of the central interval.

        Returns:
            The mean and the interval, over n calibration samples; exactly 1 for an infinite threshold.
        """
        percent(level)
        if self.k > self.n:
            return Figure(1.0, 1.0, 1.0, self.n, "exact")
        law = scipy.stats.beta(self.k, self.n + 1 - self.k)
        low, high = law.ppf([(1 - level) / 2, (1 + level) / 2])
        mean = self.k / (self.n + 1)  # of a skewed law, it can lie outside of a narrow central interval
        return Figure(mean, min(float(low), mean), max(float(high), mean), self.n, f"beta {percent(level)}")


def conformal_threshold(calibration: ArrayLike, accept: float = 0.95, *, confidence: float | None = None) -> Threshold:
    """The lowest threshold that keeps the promise of accepting normal samples.

    Args:
        calibration: `[n]`, abnormality scores of normal samples that the detector was not fitted to.
        accept: share of the normal to accept, in (0, 1); 1 minus it is the false-alarm share.
        confidence: None for the promise on average, `k = ceil((n + 1) accept)`; or the probability in (0, 1) that
            this very threshold accepts at least `accept`, where k is the smallest with `P(Beta(k, n + 1 - k) >=
            accept) >= confidence`, which is `P(Binomial(n, accept) < k) >= confidence`.

    Returns:
        The threshold: the k-th smallest calibration score, infinity where k > n. On average it accepts no more than
        `accept + 1/(n + 1)` of the normal if no scores are tied.

    Raises:
        ParameterError: there is no calibration sample, a score is missing, or a share is outside (0, 1).

    Source: Papadopoulos et al. 2002, ECML (split conformal); Vovk 2012, ACML (its law given the calibration set);
    Wilks 1941, Annals of Mathematical Statistics 12(1) (the tolerance limit behind `confidence`).

    >>> threshold = conformal_threshold(range(1, 100), 0.95)
    >>> threshold.value, threshold.k
    (95.0, 95)
    >>> conformal_threshold([0.3, 0.1], 0.95).guarantee
    'accepts everything: 2 calibration samples are too few, 19 would do'
    """
    ordered = np.sort(numbers("calibration", calibration))
    n, needed = len(ordered), calibration_needed(accept, confidence=confidence)
    if confidence is None:
        k = math.ceil((n + 1) * _decimal(accept))
    else:
        k = 1 + int(scipy.stats.binom.ppf(confidence, n, accept)) if n >= needed else n + 1
    value = float(ordered[k - 1]) if k <= n else math.inf
    return Threshold(value, accept, confidence, n, k, needed)


def calibration_needed(accept: float, *, confidence: float | None = None) -> int:
    """The fewest calibration samples with a finite threshold: `(n + 1) accept <= n`, or `accept^n <= 1 - confidence`.

    Args:
        accept: as in `conformal_threshold`.
        confidence: as in `conformal_threshold`.

    Raises:
        ParameterError: a share is outside (0, 1).

    >>> calibration_needed(0.95), calibration_needed(0.95, confidence=0.95)
    (19, 59)
    """
    for name, share in (("accept", accept), ("confidence", 0.5 if confidence is None else confidence)):
        if not 0 < share < 1:
            raise ParameterError(f"{name} must lie inside (0, 1), not {share}; 0.95 is usual")
    asked = _decimal(accept)
    if confidence is None:
        return math.ceil(asked / (1 - asked))
    rest = 1 - _decimal(confidence)
    with localcontext(prec=60):
        logs = [(Decimal(f.numerator) / Decimal(f.denominator)).ln() for f in (rest, asked)]
        ratio = logs[0] / logs[1]
        nearest = ratio.to_integral_value()
    exact = abs(ratio - nearest) < Decimal("1e-30")  # a whole power, such as 0.9^2 = 1 - 0.19
    return int(nearest) if exact else math.ceil(ratio)


def _decimal(share: float) -> Fraction:
    """The decimal fraction that a float64 in (0, 1) stands for: 7/100 for 0.07, and 3/10 for 1 - 0.7."""
    short = Fraction(f"{share:.15g}")
    return short if 0 < short < 1 else Fraction(share)


def conformal_p_values(calibration: ArrayLike, scores: ArrayLike) -> Numbers:
    """How unusual each score is among the normal: `(1 + #{calibration >= score}) / (n + 1)`.

    Args:
        calibration: `[n]`, abnormality scores of normal samples that the detector was not fitted to.
        scores: `[N]`.

    Returns:
        `[N]` in [1/(n + 1), 1]. For a normal sample `P(p <= u) <= u` at every u, ties or not; flagging where
        `p <= 1 - accept` is the same as `conformal_threshold(calibration, accept)`. The p-values of several samples
        share the calibration set and are not independent.

    Raises:
        ParameterError: there is no calibration sample or no score, or one is missing.

    Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World; Bates et al. 2023, Annals of
    Statistics 51(1) (p-values of outliers).

    >>> conformal_p_values([1, 2, 3, 4], [0, 2, 5]).tolist()
    [1.0, 0.8, 0.2]
    """
    ordered, new = np.sort(numbers("calibration", calibration)), numbers("scores", scores)
    at_least = len(ordered) - np.searchsorted(ordered, new, side="left")
    return np.asarray((1 + at_least) / (len(ordered) + 1))

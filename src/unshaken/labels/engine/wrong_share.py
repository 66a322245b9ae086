"""`estimate_wrong_share`: between which ends the share of wrong labels lies, from out-of-sample predictions alone.

The predicted and the given label agree where a model is right and the label is too. A share of agreement is explained
by a poor model of right labels as well as by a good model of poor ones. What tells the two apart is how agreement
grows with the model's confidence: errors of the model vanish where it is surest, wrong labels do not. With r the rank
of a sample's confidence among the samples of the same predicted class, and F the logistic or the normal distribution,

    P(given = predicted | r) = (1 - e) F(a + b probit(r)),

the psychometric function of a reader who knows more the surer they are and slips with probability e (its lapse rate).
Ranks do not change where a model is over-confident.

- Lower end: the smallest e whose likelihood, over all a and b >= 0, is in its 95 % interval, by either F; with `SURE`
  for what a model errs at its surest. It is a lower end if the model knows some samples of every class, and wrong
  labels are no more frequent among those that it knows than among others.
- Upper end: that of the share of labels that the model does not predict. It is an upper end for any model, even one
  that guesses, if labels that are wrong and predicted are no more than labels that are right and not predicted. That
  holds where, within a true class, label and model err independently and no wrong label is as frequent as the right
  one: for true class i, given labels T and predictions C, `sum_j T_ij C_ij <= T_ii (1 - C_ii)` over j other than i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from unshaken.labels.engine.probabilities import Summary
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, share

BINS = 30
"""Groups of equal rank in which agreement is counted."""
SURE = 0.99
"""How often a model is right about the samples that it is surest of, at least."""
WIDEST = 0.3
"""Width above which an interval is no estimate."""
LEVEL = 0.95

_E = np.concatenate([np.arange(0, 0.02, 0.0025), np.arange(0.02, 0.8, 0.01)])
_A, _B = (grid.ravel()[:, None] for grid in np.meshgrid(np.linspace(-4, 8, 49), [0, *np.geomspace(0.1, 8, 30)]))
_PROBIT = special.ndtri((np.arange(BINS) + 0.5) / BINS)
_LINKS: tuple[Callable[[Numbers], Numbers], ...] = (special.expit, special.ndtr)


@dataclass(frozen=True, slots=True)
class WrongShare:
    """The interval in which the share of wrong labels lies.

    Args:
        agreement: share of labels that the model predicts, of samples it was not trained on.
        low: lower end, in [0, 1].
        high: upper end.
        bins: group of each sample by the rank of its confidence, int `[N]`, in 0..29.
        disagrees: whether the model predicts another class, bool `[N]`.
        right: probability that a label which the model does not predict is right, for each fit that explains the labels
            and each group, `[M, 30]`.
    """

    agreement: Figure
    low: float
    high: float
    bins: Indices
    disagrees: Flags
    right: Numbers

    @property
    def is_usable(self) -> bool:
        """Whether the interval is narrow enough, at most `WIDEST`, to be called an estimate."""
        return self.high - self.low <= WIDEST

    def expect_wrong(self, flagged: Flags) -> tuple[float, float]:
        """Between which ends the share of flags lies whose labels are wrong.

        A flagged label that the model predicts counts as right at the lower end.

        Args:
            flagged: bool `[N]`, at least one of them true.
        """
        doubted = np.bincount(self.bins[flagged & self.disagrees], minlength=BINS)
        count = int(flagged.sum())
        low = float((doubted.sum() - (self.right @ doubted).max()) / count)
        return low, max(low, min(1.0, self.high * len(flagged) / count))


def estimate_wrong_share(summary: Summary, labels: Indices) -> WrongShare:
    """Estimate the share of wrong labels.

    Args:
        summary: of out-of-sample probabilities.
        labels: as given, int `[N]`.

    Source of the function's form: Wichmann & Hill 2001, Perception & Psychophysics 63(8).
    """
    agrees = summary.best == labels
    bins = _rank_bins(summary.best, np.maximum(summary.own, summary.other))
    n, k = np.bincount(bins, minlength=BINS), np.bincount(bins[agrees], minlength=BINS)
    agreement = share(int(agrees.sum()), len(labels), level=LEVEL)
    accepted, right = zip(*(_fit(n, k, link) for link in _LINKS), strict=True)
    low = 1 - (1 - min(float(e.min()) for e in accepted)) / SURE
    high = 1 - agreement.low
    return WrongShare(agreement, min(max(0.0, low), high), high, bins, ~agrees, np.concatenate(right))


def _rank_bins(best: Indices, confidence: Numbers) -> Indices:
    """The group of each sample by the rank of its confidence among those of the same predicted class, int `[N]`."""
    order = np.lexsort((confidence, best))
    counts = np.bincount(best)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    bins = np.empty(len(best), np.int64)
    bins[order] = (np.arange(len(best)) - starts + 0.5) / counts[best[order]] * BINS
    return bins


def _fit(n: Indices, k: Indices, link: Callable[[Numbers], Numbers]) -> tuple[Numbers, Numbers]:
    """The lapse rates within the likelihood's interval, `[M]`, and `WrongShare.right` of each, `[M, 30]`.

    The likelihood is divided by its dispersion, so that a curve which fits badly gives a wider interval.

    Args:
        n: samples in each group.
        k: of these, those whose label is predicted.
        link: F.
    """
    known = link(_A + _B * _PROBIT)  # c, the probability that the model is right, [fits, 30]
    likelihood, best = np.empty(len(_E)), np.empty((len(_E), BINS))
    for i, e in enumerate(_E):
        g = np.clip((1 - e) * known, 1e-6, 1 - 1e-6)
        values = np.log(g) @ k + np.log1p(-g) @ (n - k)
        likelihood[i], best[i] = values.max(), known[values.argmax()]
    share_of = k / np.maximum(n, 1)
    saturated = (special.xlogy(k, share_of) + special.xlogy(n - k, 1 - share_of)).sum()
    dispersion = max(1.0, 2 * (saturated - likelihood.max()) / max(1, np.count_nonzero(n) - 3))
    inside = likelihood >= likelihood.max() - dispersion * special.chdtri(1, 1 - LEVEL) / 2
    e, c = _E[inside], best[inside]
    correct = (1 - e)[:, None]
    return e, correct * (1 - c) / np.maximum(1 - correct * c, 1e-9)

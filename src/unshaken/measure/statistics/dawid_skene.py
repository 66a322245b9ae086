"""Dawid and Skene's estimate of true answers from readers of unequal care, by expectation and maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers

STEPS = 500
TOLERANCE = 1e-8
"""Change of the log-likelihood of an answer at which the estimate is final."""


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """True answers and each reader's errors, estimated from the answers of several readers.

    Args:
        posterior: probability of each category for each item, `[N, K]`; rows of items without an answer are the shares.
        shares: of the categories, `[K]`.
        confusions: probability that a reader answers the column where the row is true, `[R, K, K]`.
        log_likelihood: of the answers, as it rose from step to step.
    """

    posterior: Numbers
    shares: Numbers
    confusions: Numbers
    log_likelihood: tuple[float, ...]

    @property
    def accuracy(self) -> Numbers:
        """The probability that each reader's answer is right, `[R]`."""
        right: Numbers = np.einsum("k,rkk->r", self.shares, self.confusions)
        return right


def dawid_skene(answers: Indices, classes: int, *, steps: int = STEPS) -> DawidSkene:
    """Estimate true categories and each reader's confusions; it begins with the shares of the answers of each item.

    The step M sets shares and confusions to their weighted frequencies, the step E each item's posterior to
    `p_k prod_r pi_r[k, answer]`. Zero frequencies stay zero.

    Args:
        answers: category 0 to K-1 of each item by each reader, -1 where there is none, int `[R, N]`.
        classes: number of categories K.
        steps: most steps.

    Raises:
        ParameterError: there is no answer, or one outside the categories.

    Source: Dawid & Skene 1979, Applied Statistics 28(1).
    """
    found = np.asarray(answers)
    if found.ndim != 2 or not (found >= 0).any() or found.max() >= classes or found.min() < -1:
        raise ParameterError(
            f"answers are -1 or 0 to {classes - 1}, one row a reader and one column an item; at least one"
        )
    given = (found[..., None] == np.arange(classes)).astype(float)  # [R, N, K]
    votes = given.sum(0)
    known = votes.sum(1) > 0
    posterior = votes[known] / votes[known].sum(1, keepdims=True)
    given, likelihoods = given[:, known], list[float]()
    for _ in range(steps):
        shares = posterior.mean(0)
        joint = np.einsum("nk,rnl->rkl", posterior, given)
        totals = joint.sum(2, keepdims=True)
        confusions = np.divide(joint, totals, out=np.full_like(joint, 1 / classes), where=totals > 0)
        with np.errstate(divide="ignore"):
            logs = np.log(shares) + np.einsum("rnl,rkl->nk", given, _finite_log(confusions))
        top = logs.max(1, keepdims=True)
        weights = np.exp(logs - top)
        likelihoods.append(float((top[:, 0] + np.log(weights.sum(1))).sum()))
        posterior = weights / weights.sum(1, keepdims=True)
        if len(likelihoods) > 1 and likelihoods[-1] - likelihoods[-2] <= TOLERANCE * found.size:
            break
    whole = np.tile(shares, (found.shape[1], 1))
    whole[known] = posterior
    return DawidSkene(whole, shares, confusions, tuple(likelihoods))


def _finite_log(values: Numbers) -> Numbers:
    """The logarithm, with a very low number in the place of minus infinity, so that 0 times it is 0."""
    return np.log(np.maximum(values, 1e-300))

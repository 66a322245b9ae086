"""`draw_review`: which labels people should look at, so that their verdicts tell how many are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, stratified_share

STRATA = 6


@dataclass(frozen=True, slots=True)
class ReviewSample:
    """A stratified sample.

    Strata are by suspicion: the most suspect 1/63 of the labels, the next 2/63, then 4, 8, 16 and 32; from each equally
    many are drawn. Where wrong labels are dense most of them are seen, and no label is left without a chance.

    Args:
        indices: samples to review, int `[n]`, in an order that tells nothing of their suspicion.
        strata: the stratum of each of these, 0 the most suspect, int `[n]`.
        sizes: samples in each stratum, `[H]`.
    """

    indices: Indices
    strata: Indices
    sizes: Indices

    def share_wrong(self, wrong: Flags, *, level: float = 0.95) -> Figure:
        """The share of wrong labels in the whole set.

        Args:
            wrong: the verdict on each of `indices`, bool `[n]`.
            level: coverage.

        Raises:
            ParameterError: there is not one verdict for each.
        """
        if len(wrong) != len(self.indices):
            raise ParameterError(f"{len(wrong)} verdicts for {len(self.indices)} samples to review: give one each")
        counts = np.bincount(self.strata, minlength=len(self.sizes))
        hits = np.bincount(self.strata, np.asarray(wrong, float), len(self.sizes)).astype(np.int64)
        return stratified_share(hits, counts, self.sizes, level=level)


def draw_review(score: Numbers, size: int, *, seed: int = 0) -> ReviewSample:
    """Draw a stratified sample.

    Args:
        score: how likely each label is right, `[N]`, as `LabelScores.score`; the lower the more suspect.
        size: samples to review, at least one a stratum; of fewer samples than strata all.
        seed: of the draws.

    Raises:
        ParameterError: size is too small, or above N.
    """
    least = min(STRATA, len(score))
    if not least <= size <= len(score):
        raise ParameterError(f"a review of {size} samples is not possible: choose {least} to {len(score)}")
    rng = np.random.default_rng(seed)
    order = np.argsort(score, kind="stable")
    ends = np.ceil(len(order) * (2 ** np.arange(1, STRATA) - 1) / (2**STRATA - 1)).astype(np.int64)
    groups = [group for group in np.split(order, ends) if len(group)]
    shares = _even(size, [len(group) for group in groups])
    drawn = [rng.choice(group, n, replace=False) for group, n in zip(groups, shares, strict=True)]
    indices = np.concatenate(drawn)
    strata = np.repeat(np.arange(len(groups)), shares)
    shuffled = rng.permutation(len(indices))
    return ReviewSample(indices[shuffled], strata[shuffled], np.array([len(group) for group in groups]))


def _even(total: int, sizes: list[int]) -> list[int]:
    """Parts of a total, as even as the sizes allow.

    >>> _even(10, [1, 9, 9])
    [1, 5, 4]
    """
    shares, left = [0] * len(sizes), total
    open_ = list(range(len(sizes)))
    while left:
        each, more = divmod(left, len(open_))
        for place, i in enumerate(open_):
            taken = min(sizes[i] - shares[i], each + (place < more))
            shares[i] += taken
            left -= taken
        open_ = [i for i in open_ if shares[i] < sizes[i]]
    return shares

"""Dual randomised smoothing: two networks vote, each on half of the pixels, and their shares are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.dual_radius import both_radius, dual_radius, two_sided_radius
from unshaken.certify.smoothing.halves import LostLabelsOfSide, Side, SideJournal, TwoHalves
from unshaken.certify.smoothing.smoothing import Certificate, GaussianSmoothing
from unshaken.certify.smoothing.votes import Tally, lower_bound, reach, upper_bound, votes_for
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.context import Journal
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register

Aggregation = Literal["sum", "two-sided", "both"]


@dataclass(frozen=True, slots=True)
class DualCertificate(Certificate):
    """Certificates of dual smoothing, one row per sample, with the votes of each half.

    Args:
        left: votes on the left half; `tally` holds both sides' together.
        right: votes on the right half.
        p_left: lower bound of the probability of `prediction` on the left half, float64 `[N]`; holds together with
            `p_right`. `p_lower` is their mean, which is above one half where something is guaranteed.
        p_right: on the right half.
    """

    left: Tally
    right: Tally
    p_left: Tensor
    p_right: Tensor


@register("dual-smoothing", reference="Xia et al. 2024, arXiv:2404.09586", norms=("l2",))
class DualSmoothing(TwoHalves, GaussianSmoothing):
    """Dual randomised smoothing: smooths each half of the pixels separately, and adds the two class probabilities.

    The certificate speaks of the classifier that gives the class with the largest sum of the two probabilities. `n` and
    `n0` are counted on each side, so a sample costs 2(n + n0) passes. Train for it with the recipe `half-noise`, with
    the same split, expansion and sigma; sigma of smoothing over the square root of 2 reaches as far.
    """

    n: int = Field(default=100_000, gt=0, description="number of noisy copies per half")
    n0: int = Field(default=100, gt=0, description="number of noisy copies per half that select the class")
    aggregation: Aggregation = Field(
        default="sum",
        description="sum of probabilities; two-sided bounds rivals as well; both: each half must keep the class",
    )

    @override
    def most_passes(self, classes: int) -> int | None:
        return 2 * (self.n0 + self.n)

    @override
    def check(self) -> None:
        s, t = self.sigmas.values()
        whole = min(s, t) if self.aggregation == "both" else 2 / (s**-2 + t**-2) ** 0.5
        level = self._levels(2)[0]
        best, wanted = max(0.0, reach(whole, self.n, level)), max(self.radii, default=0.0)
        if best >= wanted:
            return
        needed = votes_for(wanted, whole, level)
        more = f"n={needed} or more, or a larger sigma" if needed <= 10**9 else "a larger sigma, and networks for it"
        raise ParameterError(
            f"{self.name}: n={self.n} votes a side at alpha={self.alpha:g} and sigma={self.sigma:g} certify a radius "
            f"of {best:.4g} at most, not {wanted:g}: give {more}"
        )

    @override
    def certify(
        self,
        oracle: Oracle,
        batch: Batch,
        *,
        seed: int = 0,
        journal: Journal | None = None,
        right: Classifier | None = None,
    ) -> DualCertificate:
        left = self.votes(oracle, batch, "left", seed=seed, journal=journal)
        counted = self.beyond(oracle) if right is None else oracle.share_meter(right)
        with evaluating(counted.model):
            return self.judge(left, self.votes(counted, batch, "right", seed=seed, journal=journal, left=left))

    def votes(
        self,
        oracle: Oracle,
        batch: Batch,
        side: Side,
        *,
        seed: int = 0,
        journal: Journal | None = None,
        left: Tally | None = None,
    ) -> Tally:
        """The votes of a network on one side's sub-images, with noise on these pixels alone.

        Args:
            oracle: runs the network and counts its passes.
            batch: whole images.
            side: which half.
            seed: the run seed.
            journal: where finished samples are stored, and read again.
            left: the finished votes of the left side, for `skip_wrong` on the right one.

        Raises:
            ParameterError: the split leaves one side of such images empty.
        """
        lost = None
        if self.skip_wrong and left is not None and batch.labels is not None:
            lost = LostLabelsOfSide(left, batch.labels)
        records = None if journal is None else SideJournal(journal, side)
        return self.poll(
            oracle, batch, side, stream=self.name, n0=self.n0, n=self.n, seed=seed, lost=lost, journal=records
        )

    def judge(self, left: Tally, right: Tally) -> DualCertificate:
        """The certificate that follows from the votes of both sides."""
        if left.counts.shape != right.counts.shape:
            raise ModelError(
                f"{self.name}: the two halves' models have {left.counts.shape[1]} and {right.counts.shape[1]} classes: "
                "give a right model with the same classes"
            )
        whole = Tally(
            left.selected + right.selected, left.counts + right.counts, left.level, left.decided & right.decided,
            left.blank + right.blank, left.seconds + right.seconds,
        )  # fmt: skip
        at, level = whole.candidate[:, None], self._levels(left.counts.shape[1])[0]
        hits = [t.counts.gather(1, at).squeeze(1) for t in (left, right)]
        p, q = (lower_bound(k.cpu(), t.drawn.cpu(), level) for k, t in zip(hits, (left, right), strict=True))
        radius = self._radius(p, q, left, right, whole.candidate)
        gone = radius <= 0
        mean = torch.minimum(p, q) if self.aggregation == "both" else (p + q) / 2
        reasons = self._reasons_of(gone, whole, left, right, hits)
        return DualCertificate(whole.candidate, gone, radius, mean, reasons, whole, left, right, p, q)

    def _levels(self, classes: int) -> tuple[float, float]:
        """The failure probability of each lower bound, and of each upper one; all that are needed hold together.

        Of `both`, a radius is too large only where the bound of the side with the smaller true radius is.
        """
        if self.aggregation == "both":
            return self.alpha, 0.0
        if self.aggregation == "sum" or classes == 2:  # of two classes one is the rest
            return self.alpha / 2, 0.0
        return self.alpha / 4, self.alpha / (4 * (classes - 1))

    def _radius(self, p: Tensor, q: Tensor, left: Tally, right: Tally, candidate: Tensor) -> Tensor:
        s, t = self.sigmas.values()
        if self.aggregation == "both":
            return both_radius(p.numpy(), q.numpy(), s, t)
        level = self._levels(left.counts.shape[1])[1]
        if not level:
            return dual_radius(p.numpy(), q.numpy(), s, t)
        tables = [upper_bound(x.counts.cpu(), x.drawn[:, None].cpu(), level) for x in (left, right)]
        found = []
        for row, winner in enumerate(candidate.tolist()):
            bounds = [table[row].tolist() for table in tables]
            bounds[0][winner], bounds[1][winner] = float(p[row]), float(q[row])
            found.append(two_sided_radius(bounds[0], bounds[1], winner, s, t))
        return torch.tensor(found, dtype=torch.float64)

    def _reasons_of(
        self, gone: Tensor, whole: Tally, left: Tally, right: Tally, hits: list[Tensor]
    ) -> list[str | None]:
        """Why nothing is guaranteed, sample by sample."""
        wanted = "each above one half" if self.aggregation == "both" else "above one half on average"
        reasons: list[str | None] = []
        for i, lost in enumerate(gone.tolist()):
            k, m = (int(h[i]) for h in hits)
            if not lost:
                reasons.append(None)
            elif not right.drawn[i]:
                reasons.append("the label plainly loses on the left half: no more votes were drawn on the right")
            else:
                reasons.append(
                    f"top class got {k} and {m} of {int(right.drawn[i])} votes on the halves: not shown to be {wanted} "
                    f"at alpha={self.alpha:g}"
                )
        return reasons

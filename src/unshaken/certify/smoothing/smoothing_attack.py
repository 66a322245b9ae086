"""The attack on a smoothed classifier, through the noise."""

from __future__ import annotations

import scipy
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.noise_attack import Asker, NoiseAttack, VoteOutcome
from unshaken.certify.smoothing.smoothed_gradient import SmoothedGradient
from unshaken.certify.smoothing.smoothing import smoothed_at, vote_logits
from unshaken.certify.smoothing.votes import vote
from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register


@register(
    "smoothing-attack",
    reference="Salman et al. 2019, arXiv:1906.04584",
    needs=("logits", "gradient"),
    norms=("l2",),
)
class SmoothingAttack(NoiseAttack):
    """PGD on a smoothed classifier, through the noise: an upper bound for `smoothing`.

    An example counts only where fresh votes show that another class than the label wins there (the two highest counts
    differ beyond chance, at `alpha`). A sample that the smoothed classifier gets wrong without any change is left
    alone. Without labels, the class of the unchanged image is attacked.
    """

    alpha: float = Field(
        default=0.001, gt=0, lt=0.5, description="maximum probability that an example counts only by chance"
    )

    @property
    @override
    def subject(self) -> str:
        return smoothed_at(self.sigma)

    @override
    def asker(self, oracle: Oracle, batch: Batch) -> Asker:
        return lambda x, labels, noises: SmoothedGradient(x, labels, self.sigma * noises)

    @override
    def count_votes(self, batch: Batch, context: Context, stream: str) -> VoteOutcome:
        tally = vote(
            context.oracle, batch.images, batch.ids, sigma=self.sigma, n0=0, n=self.n, seed=context.seed,
            method=stream,
        )  # fmt: skip
        return VoteOutcome(vote_logits(tally), winner(tally.counts, self.alpha), tally.forwards)


def winner(counts: Tensor, alpha: float) -> Tensor:
    """The class with the most votes, -1 where the next one has as many but for chance, int64 `[N]`.

    Args:
        counts: int64 `[N, K]`.
        alpha: of the sign test of the two.
    """
    top, classes = counts.topk(2, dim=1)
    tests = [scipy.stats.binomtest(a, a + b, 0.5).pvalue for a, b in top.tolist()]
    clear = (torch.tensor(tests) <= alpha).to(counts.device)
    return torch.where(clear, classes[:, 0], -1)

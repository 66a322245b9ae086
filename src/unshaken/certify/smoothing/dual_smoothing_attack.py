"""The attack on dual smoothing, through the noise on both halves."""

from __future__ import annotations

import functools

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.halves import Side, TwoHalves
from unshaken.certify.smoothing.noise_attack import Asker, NoiseAttack, VoteOutcome
from unshaken.certify.smoothing.smoothed_gradient import MixedGradient, NoisyNetwork
from unshaken.certify.smoothing.smoothing import vote_logits
from unshaken.certify.smoothing.votes import Tally, lower_bound, upper_bound
from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register

CHOOSE = 100
"""Votes a side that choose the class which fresh ones are to show."""


@register(
    "dual-smoothing-attack",
    reference="Salman et al. 2019, arXiv:1906.04584; Xia et al. 2024, arXiv:2404.09586",
    needs=("logits", "gradient"),
    norms=("l2",),
)
class DualSmoothingAttack(TwoHalves, NoiseAttack):
    """PGD on a dual-smoothed classifier, through the noise: an upper bound for `dual-smoothing`.

    An example counts only where fresh votes on both halves show that another class than the label has the largest sum
    of probabilities, wrong with probability `alpha` at most. `n` copies are counted on each side.
    """

    alpha: float = Field(
        default=0.001, gt=0, lt=0.5, description="maximum probability that an example counts only by chance"
    )

    @override
    def asker(self, oracle: Oracle, batch: Batch) -> Asker:
        cut = self.cut(batch.images)

        def half(counted: Oracle, side: Side) -> NoisyNetwork:
            return NoisyNetwork(
                counted, lambda images: cut.expand(cut.take(images, side), side), sigma=self.sigmas[side]
            )

        voices = half(oracle, "left"), half(self.beyond(oracle), "right")
        return lambda x, labels, noises: MixedGradient(x, labels, noises, *voices, share=0.5)

    @override
    def count_votes(self, batch: Batch, context: Context, stream: str) -> VoteOutcome:
        ask = functools.partial(self.poll, stream=stream, n0=CHOOSE, n=self.n, seed=context.seed)
        left, right = ask(context.oracle, batch, "left"), ask(self.beyond(context.oracle), batch, "right")
        together = left.replace(selected=left.selected + right.selected, counts=left.counts + right.counts)
        return VoteOutcome(vote_logits(together), winner(left, right, self.alpha), together.forwards)


def winner(left: Tally, right: Tally, alpha: float) -> Tensor:
    """The class of which fresh votes show that its two probabilities have the largest sum; -1 where they show none.

    It is the one with the most of the first votes. Two lower bounds for it and two upper bounds for each of the others
    hold at once with a probability of at least 1 - alpha.

    Args:
        left: votes on the left half.
        right: votes on the right half.
        alpha: probability that a class is wrongly shown.

    Returns:
        int64 `[N]`.
    """
    chosen = (left.selected + right.selected).argmax(1, keepdim=True).cpu()
    each = alpha / (4 * (left.counts.shape[1] - 1))
    least, most = torch.zeros(chosen.shape).double(), torch.zeros(left.counts.shape).double()
    for tally in (left, right):
        counts, drawn = tally.counts.cpu(), tally.drawn.cpu()[:, None]
        least += lower_bound(counts.gather(1, chosen), drawn, alpha / 4)
        most += upper_bound(counts, drawn.expand_as(counts), each)
    rival = most.scatter(1, chosen, -torch.inf).amax(1, keepdim=True)
    return torch.where(least > rival, chosen, -1)[:, 0].to(left.counts.device)

"""The attack on adaptive smoothing, through both parts of the mixture."""

from __future__ import annotations

import dataclasses

import torch
from pydantic import Field
from typing_extensions import override

from unshaken.certify.smoothing.adaptive_smoothing import SmoothedMixture, judge_mixture
from unshaken.certify.smoothing.noise_attack import Asker, NoiseAttack, VoteOutcome
from unshaken.certify.smoothing.smoothed_gradient import MixedGradient, NoisyNetwork
from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register

CHOOSE = 100
"""Votes that choose the class which fresh ones are to show."""


@register(
    "adaptive-smoothing-attack",
    reference="Salman et al. 2019, arXiv:1906.04584; Bai et al. 2023, arXiv:2301.12554",
    needs=("logits", "gradient"),
    norms=("l2",),
)
class AdaptiveSmoothingAttack(SmoothedMixture, NoiseAttack):
    """PGD on a mixture of a smoothed and an accurate model: an upper bound for `adaptive-smoothing`.

    The upper bound beside `adaptive-smoothing`. Where the weight depends on the image, its gradient is followed too. An
    example counts only where fresh votes show that the mixture gives another class than the label, wrong with
    probability `alpha` at most.
    """

    alpha: float = Field(
        default=0.001, gt=0, lt=0.5, description="maximum probability that an example counts only by chance"
    )

    @override
    def asker(self, oracle: Oracle, batch: Batch) -> Asker:
        parts = self.parts(oracle)
        accurate = NoisyNetwork(oracle.share_meter(parts.accurate), scale=parts.scale_accurate)
        robust = NoisyNetwork(oracle.share_meter(parts.robust), sigma=self.sigma)
        share = parts.least_alpha if parts.weights is None else oracle.share_meter(parts.weights)
        return lambda x, labels, noises: MixedGradient(x, labels, noises, accurate, robust, share)

    @override
    def count_votes(self, batch: Batch, context: Context, stream: str) -> VoteOutcome:
        oracle = context.oracle
        known = context
        if self.parts(oracle).accurate is oracle.model:  # g's logits at these images, not at the unchanged ones
            known = dataclasses.replace(context, clean=oracle.exact(batch.images))
        outputs = self.run_both(known, batch, stream=stream, n0=CHOOSE, n=self.n)
        found = judge_mixture(
            outputs.accurate, outputs.tally.selected.cpu(), outputs.tally.counts.cpu(), weights=outputs.weights,
            least=outputs.least, sigma=self.sigma, alpha=self.alpha,
        )  # fmt: skip
        device = batch.images.device
        winner = torch.where(found.abstained, -1, found.prediction).to(device)
        return VoteOutcome(found.logits.to(device), winner, outputs.forwards + (known is not context))

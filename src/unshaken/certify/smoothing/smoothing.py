"""Randomised smoothing: the class that most noisy copies are given, and how far it is certain to stay."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator
from scipy.special import ndtri
from torch import Tensor
from typing_extensions import override

from unshaken.certify.engine.base import Certifier
from unshaken.certify.smoothing.votes import Rule, Tally, check_reach, lower_bound, upper_bound, vote
from unshaken.core.batch import Batch
from unshaken.core.context import Journal
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register

STREAM = "smoothing"
"""Stream of the noise: draw j of a sample is the same under every rule that reads the votes of one classifier."""
PLAIN = 0.001
"""How unlikely a label must be to win before a sample is given up as plainly wrong. No certificate depends on it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Certificates of a batch, one row per sample.

    Args:
        prediction: the candidate class, int64 `[N]`.
        abstained: bool `[N]`: nothing is guaranteed, not even the class at the image itself.
        radius: l2, in [0, 1] pixel units, float64 `[N]`: within it (at 0: at the image itself) the smoothed classifier
            gives `prediction`; 0 where it abstained.
        p_lower: lower bound of the probability of `prediction` under the noise, float64 `[N]`.
        reasons: why nothing, or no more, is guaranteed; None where there is nothing to say.
        tally: the votes.
    """

    prediction: Tensor
    abstained: Tensor
    radius: Tensor
    p_lower: Tensor
    reasons: list[str | None]
    tally: Tally


class GaussianSmoothing(Certifier):
    """Base class of certifiers by Gaussian noise: votes, rows and checks.

    A certificate speaks of the smoothed classifier, which gives the class that the network gives most often under the
    noise; with bfloat16 votes (`--precision bf16`), of the network as computed in bfloat16. It is wrong with
    probability alpha at most, for each sample.
    """

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    n: PositiveInt = Field(default=100_000, description="maximum number of noisy copies per sample")
    n0: PositiveInt = Field(default=100, description="number of noisy copies that select the class")
    alpha: float = Field(default=0.001, gt=0, lt=0.5, description="probability that a certificate is wrong")
    radii: tuple[NonNegativeFloat, ...] = Field(default=(), description="l2 radii to certify, e.g. 0.25+0.5")
    skip_wrong: bool = Field(
        default=False, description="stop early for samples that are clearly misclassified (labels needed)"
    )

    @field_validator("radii")
    @classmethod
    def _rising(cls, radii: tuple[float, ...]) -> tuple[float, ...]:
        numbers = sorted(radii)
        twice = next((a for a, b in itertools.pairwise(numbers) if a == b), None)
        if twice is not None:
            raise ValueError(f"{twice:g} is given twice: give it once")
        return tuple(numbers)

    @model_validator(mode="after")
    def _reaches(self) -> GaussianSmoothing:
        self.check()
        return self

    def check(self) -> None:
        """Refuse parameters that cannot certify what is asked for, before anything is run.

        Raises:
            ParameterError: with the n or the sigma that would do.
        """
        check_reach(self.name, self.radii, sigma=self.sigma, n=self.n, alpha=self.alpha)

    @property
    @override
    def subject(self) -> str:
        return smoothed_at(self.sigma)

    @property
    def name(self) -> str:
        """Name of the method in the registry."""
        return self.info.name

    def certify(self, oracle: Oracle, batch: Batch, *, seed: int = 0, journal: Journal | None = None) -> Certificate:
        """Draw the votes, and compute the certificates.

        Args:
            oracle: runs the model and counts its passes.
            batch: images `[N, C, H, W]` on its device; labels serve `skip_wrong` alone.
            seed: the run seed.
            journal: where finished samples are stored, and read again.
        """
        known = batch.labels is not None and self.skip_wrong
        tally = vote(
            oracle,
            batch.images,
            batch.ids,
            sigma=self.sigma,
            n0=self.n0,
            n=self.n,
            seed=seed,
            method=STREAM,
            labels=batch.labels,
            rule=self.rule(),
            lost=self.plainly_wrong if known else None,
            journal=journal,
        )
        return self.conclude(tally)

    @override
    def most_passes(self, classes: int) -> int | None:
        return self.n0 + self.n

    def rule(self) -> Rule | None:
        """When a sample has enough votes; None for after all n."""
        return None

    def conclude(self, tally: Tally) -> Certificate:
        """The certificate that follows from votes."""
        p = lower_bound(tally.hits, tally.drawn, self.alpha)
        abstained = p <= 0.5
        radius = torch.where(abstained, 0.0, self.sigma * torch.from_numpy(ndtri(p.numpy())))
        return Certificate(tally.candidate, abstained, radius, p, self.reasons(tally, abstained), tally)

    def reasons(self, tally: Tally, abstained: Tensor) -> list[str | None]:
        """Why the method abstained, sample by sample."""
        rows = zip(abstained.tolist(), tally.hits.tolist(), tally.drawn.tolist(), strict=True)
        return [
            None
            if not gone
            else f"top class got {k} of {n} votes: not shown to be above one half at alpha={self.alpha:g}"
            if n
            else f"the label plainly loses the first {self.n0} votes: no more were drawn"
            for gone, k, n in rows
        ]

    @staticmethod
    def plainly_wrong(tally: Tally, labels: Tensor) -> Tensor:
        """Bool `[N]`: with few of the first votes, the label's share is shown to be below one half."""
        ours = tally.selected.gather(1, labels.clamp_min(0)[:, None]).squeeze(1)
        lost = upper_bound(ours, tally.selected.sum(1), PLAIN) < 0.5
        return (labels >= 0) & lost.to(labels.device)


def smoothed_at(sigma: float) -> str:
    """The name of the classifier smoothed at a sigma."""
    return f"smoothed at sigma={sigma:g}"


def vote_logits(tally: Tally) -> Tensor:
    """The smoothed classifier's answer as logits `[N, K]`: the logarithm of each class's share of all votes.

    A class without votes counts half a vote. An image with a blank vote has no answer, NaN for every class.
    """
    votes = tally.counts + tally.selected + 0.5
    logits = (votes / votes.sum(1, keepdim=True)).log()
    return logits.masked_fill((tally.blank > 0)[:, None], torch.nan)


@register("smoothing", reference="Cohen et al. 2019, arXiv:1902.02918", norms=("l2",))
class Smoothing(GaussianSmoothing):
    """Randomised smoothing: certifies an l2 radius from the votes of noisy copies, `sigma Phi^-1(p_lower)`."""

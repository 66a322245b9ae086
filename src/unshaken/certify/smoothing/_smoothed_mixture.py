"""What certificate and attack on a mixture with a smoothed model share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.certify.engine.base import Certifier
from unshaken.certify.smoothing.mixture import Parts, parts_of
from unshaken.certify.smoothing.votes import Tally, vote
from unshaken.core.batch import Batch
from unshaken.core.context import Context, Journal
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.models.loaders.load import second_model


@dataclass(frozen=True, slots=True)
class MixtureOutputs:
    """Outputs of both parts of a mixture for each image.

    Args:
        accurate: probabilities of g, `[N, K]`, on the CPU.
        weights: weight of h, `[N]`, on the CPU.
        least: the smallest weight that h can have on any image.
        tally: votes of h.
        forwards: passes, int64 `[N]`.
    """

    accurate: Tensor
    weights: Tensor
    least: float
    tally: Tally
    forwards: Tensor


class SmoothedMixture(Certifier):
    """`(1 - a) softmax(T g(x)) + a h(x)`, h the share of noisy copies that the model calls each class."""

    accurate: str = Field("", description="SPEC of the accurate model g; empty for the model itself, without noise")
    alpha: float = Field(
        0.8, gt=0.5, le=1, description="weight of the smoothed model; ignored for a mixture, which has its own"
    )
    scale_accurate: PositiveFloat = Field(
        1.0, description="factor T of g's logits; ignored for a mixture, which has its own"
    )
    sigma: PositiveFloat = Field(0.25, description="deviation of the noise, in [0, 1] pixel units")

    @property
    @override
    def subject(self) -> str:
        return f"mixture with a model smoothed at sigma={self.sigma:g}"

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.accurate,) if self.accurate else ()

    def classifier_parameters(self) -> dict[str, Any]:
        """The parameters that decide which classifier this speaks of."""
        return {name: getattr(self, name) for name in SmoothedMixture.model_fields}

    def parts(self, oracle: Oracle) -> Parts:
        """g, h and the weights.

        Raises:
            ParameterError: the model is a mixture and another g is named, or its weight of h may be below 1/2.
        """
        model = oracle.model
        found = parts_of(model)
        if found is None:
            other = second_model(self.accurate).to(oracle.device) if self.accurate else model
            return Parts(other, model, self.scale_accurate, self.alpha)
        if self.accurate:
            raise ParameterError(
                f"{self.info.name}: model {model.name!r} is a mixture that has an accurate model already: omit accurate"
            )
        if found.least_alpha <= 0.5:
            raise ParameterError(
                f"{self.info.name}: the weight of the robust part of {model.name!r} may be {found.least_alpha:g}; "
                "certificates need 0.5 or more"
            )
        return found

    def run_both(
        self, context: Context, batch: Batch, *, stream: str, n0: int, n: int, journal: Journal | None = None
    ) -> MixtureOutputs:
        """What g says, and h's votes.

        Args:
            context: its `clean` must be the model's logits on this batch where g is the model itself.
            batch: images on the model's device.
            stream: name of the noise's stream.
            n0: votes that choose the class.
            n: fresh votes.
            journal: where finished samples are kept, and found again.

        Raises:
            ParameterError: g and h differ in their classes; see `parts` too.
        """
        oracle, parts = context.oracle, self.parts(context.oracle)
        own, free = parts.robust is oracle.model, parts.accurate is oracle.model
        answers = context.clean if free else oracle.beside(parts.accurate).exact(batch.images)
        weights = torch.full((len(batch),), parts.least_alpha)
        if parts.weights is not None:
            weights = oracle.beside(parts.weights).exact(batch.images)[:, 0].cpu()
        counted = oracle if own else oracle.beside(parts.robust)
        tally = vote(
            counted, batch.images, batch.ids, sigma=self.sigma, n0=n0, n=n, seed=context.seed, method=stream,
            journal=journal,
        )  # fmt: skip
        if answers.shape[1] != tally.counts.shape[1]:
            raise ParameterError(
                f"{self.info.name}: the accurate model {parts.accurate.name!r} has {answers.shape[1]} classes, the "
                f"model {tally.counts.shape[1]}: use one with the same classes in the same order"
            )
        accurate = (parts.scale_accurate * answers).softmax(1).cpu()
        forwards = tally.forwards + (not free) + (parts.weights is not None)
        return MixtureOutputs(accurate, weights, parts.least_alpha, tally, forwards)

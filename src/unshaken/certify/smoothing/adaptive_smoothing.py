"""Adaptive smoothing: an accurate model mixed with a smoothed one, certified by the smoothed one's margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.certify.engine.base import Certifier
from unshaken.certify.smoothing.mixture import Parts, margin_needed, parts_of, sharp_radius, smoothing_radius
from unshaken.certify.smoothing.votes import Tally, lower_bound, upper_bound, vote
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.context import Context, Journal
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.state import State
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same


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

    accurate: str = Field(
        default="", description="SPEC of the accurate model g; empty for the model itself, without noise"
    )
    weight: float = Field(
        default=0.8, gt=0.5, le=1, description="weight of the smoothed model; ignored for a mixture, which has its own"
    )
    scale_accurate: PositiveFloat = Field(
        default=1.0, description="factor T of g's logits; ignored for a mixture, which has its own"
    )
    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")

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
            other = model
            if self.accurate:
                named = second_model(self.accurate).to(oracle.device)
                other = choose_same(named, model, purpose=f"{self.info.name}: the accurate model")
            return Parts(other, model, self.scale_accurate, self.weight)
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
        """Run both: the probabilities of g, and the votes of h.

        Args:
            context: its `clean` must be the model's logits on this batch where g is the model itself.
            batch: images on the model's device.
            stream: name of the noise's stream.
            n0: votes that choose the class.
            n: fresh votes.
            journal: where finished samples are stored, and read again.

        Raises:
            ParameterError: g and h differ in their classes; see `parts` too.
        """
        oracle, parts = context.oracle, self.parts(context.oracle)
        own, free = parts.robust is oracle.model, parts.accurate is oracle.model
        answers = context.clean if free else oracle.share_meter(parts.accurate).exact(batch.images)
        weights = torch.full((len(batch),), parts.least_alpha)
        if parts.weights is not None:
            weights = oracle.share_meter(parts.weights).exact(batch.images)[:, 0].cpu()
        counted = oracle if own else oracle.share_meter(parts.robust)
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


NAME = "adaptive-smoothing"
TINY = 1e-12


class MixtureCertificate(State):
    """The certified facts of a mixture with a smoothed model, up to the failure probability.

    Args:
        logits: log of the mixture's estimated probabilities, `[N, K]`.
        prediction: int64 `[N]`, their largest.
        abstained: bool `[N]`: another class may be the mixture's.
        radius: float64 `[N]`, in l2; 0 where nothing is certified.
        p_lower: float64 `[N]`: lower bound of the smoothed model's probability of the prediction.
    """

    logits: Tensor
    prediction: Tensor
    abstained: Tensor
    radius: Tensor
    p_lower: Tensor


def judge_mixture(
    accurate: Tensor,
    selected: Tensor,
    counts: Tensor,
    *,
    weights: Tensor,
    least: float,
    sigma: float,
    alpha: float,
    rule: Literal["sharp", "published"] = "sharp",
) -> MixtureCertificate:
    """From g's probabilities and h's votes to prediction and radius, all of a sample's claims wrong at most so often.

    The class is chosen by the first votes, the bounds come from the fresh ones: with K > 2 classes half of
    `alpha` is for the lower bound of its probability, the other half for the K - 1 upper bounds of the others;
    with 2 classes all is for the lower bound, and one less it is the upper one.

    Args:
        accurate: probabilities of g, `[N, K]`, on the CPU like all else.
        selected: first votes of h, int64 `[N, K]`.
        counts: fresh votes of h, int64 `[N, K]`.
        weights: weight of h on each image, `[N]`.
        least: the smallest weight that h can have on any image; radii rest on it alone.
        sigma: deviation of the noise.
        alpha: failure probability.
        rule: see `unshaken.certify.smoothing.mixture`.
    """
    accurate, a = widen(accurate), widen(weights)[:, None]
    first = (1 - a) * accurate + a * selected / selected.sum(1, keepdim=True).clamp(min=1)
    chosen = first.argmax(1, keepdim=True)
    lower, upper = bounds(counts, chosen, alpha)
    others = torch.ones_like(upper, dtype=torch.bool).scatter(1, chosen, False)
    gap = (1 - a) * (accurate.gather(1, chosen) - accurate) + a * (lower - upper)
    sure = torch.where(others, gap, torch.inf).amin(1) > 0
    rival = torch.where(others, upper, -torch.inf).amax(1)
    find = sharp_radius if rule == "sharp" else smoothing_radius
    radius = find(lower[:, 0], rival, least, sigma)
    mixture = (1 - a) * accurate + a * counts / counts.sum(1, keepdim=True).clamp(min=1)
    prediction = torch.where(sure, chosen[:, 0], predict(mixture))
    return MixtureCertificate(mixture.clamp(min=TINY).log().float(), prediction, ~sure, radius * sure, lower[:, 0])


def bounds(counts: Tensor, chosen: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Lower bound of the chosen class's probability `[N, 1]`, upper bounds of all others `[N, K]`, in float64.

    All of a sample's bounds hold at once with a probability of at least `1 - alpha`.

    Args:
        counts: fresh votes, int64 `[N, K]`.
        chosen: int64 `[N, 1]`, chosen without them.
        alpha: in (0, 1).
    """
    k, trials = counts.shape[1], counts.sum(1, keepdim=True)
    won = counts.gather(1, chosen)
    if k == 2:
        lower = lower_bound(won, trials, alpha)
        return lower, (1 - lower).expand(-1, 2)
    lower = lower_bound(won, trials, alpha / 2)
    upper = upper_bound(counts, trials.expand_as(counts), alpha / (2 * (k - 1)))
    return lower, torch.minimum(upper, 1 - lower)


@register("adaptive-smoothing", reference="Bai et al. 2023, arXiv:2301.12554", norms=("l2",))
class AdaptiveSmoothing(SmoothedMixture):
    """Adaptive smoothing: mixes an accurate model with a smoothed one, and certifies by the smoothed model's margin.

    The classifier of which the rows speak is `(1 - a) softmax(T g(x)) + a h(x)`: h is the share of noisy copies
    `x + N(0, s^2 I)` that the model calls each class, so the model should have been trained with such noise. Where h
    prefers its class by more than `(1 - a) / a`, no g can overrule it, and the radius says how far that lasts. With a
    probability of at most `alpha` a sample's row is wrong.

    A model that is a mixture already (defence `mixture`, recipe `mixing-network`) is taken apart: its h is smoothed,
    and where its weight depends on the image, radii rest on the smallest that it can be.
    """

    n0: PositiveInt = Field(default=100, description="number of noisy copies that select the class")
    n: PositiveInt = Field(default=10_000, description="number of noisy copies for the bounds")
    alpha: float = Field(default=0.001, gt=0, lt=0.5, description="probability that a certificate is wrong")
    rule: Literal["sharp", "published"] = Field(
        default="sharp", description="radius by bisection, or the published formula"
    )

    @override
    def most_passes(self, classes: int) -> int | None:
        return self.n0 + self.n + 1

    def certify(
        self, context: Context, batch: Batch, journal: Journal | None = None
    ) -> tuple[MixtureCertificate, MixtureOutputs]:
        """Draw the votes, and compute the certificates.

        Args:
            context: its `clean` must be the model's logits on this batch where g is the model itself.
            batch: images `[N, C, H, W]` on the model's device.
            journal: where finished samples are stored, and read again.

        Returns:
            The certificates, and what both models put out.
        """
        outputs = self.run_both(context, batch, stream=NAME, n0=self.n0, n=self.n, journal=journal)
        with context.oracle.meter.method():
            found = judge_mixture(
                outputs.accurate,
                outputs.tally.selected.cpu(),
                outputs.tally.counts.cpu(),
                weights=outputs.weights,
                least=outputs.least,
                sigma=self.sigma,
                alpha=self.alpha,
                rule=self.rule,
            )
        return found, outputs

    def reasons(self, found: MixtureCertificate, least: float) -> list[str | None]:
        """Why samples have no radius; None where they have one."""
        needed, few = margin_needed(least), votes_needed(least, self.alpha, found.logits.shape[1])
        words = f"the smoothed model's margin is not shown to exceed (1 - a) / a = {needed:.4f}"
        if self.n < few:
            words += f", which takes {few} votes, all for one class, not n={self.n}"
        return [
            None if r > 0 else f"{words}; nor is the class at the image" if gone else words
            for r, gone in zip(found.radius.tolist(), found.abstained.tolist(), strict=True)
        ]


def votes_needed(weight: float, alpha: float, classes: int) -> int:
    """The fewest votes, all for one class, that certify anything: lower bound L with `2 L - 1 > (1 - a) / a`.

    Args:
        weight: the smallest weight of the smoothed model, in (1/2, 1].
        alpha: failure probability.
        classes: K.

    >>> votes_needed(0.8, 0.001, 10), votes_needed(1.0, 0.001, 2)
    (17, 10)
    """
    share = alpha if classes == 2 else alpha / 2
    return math.floor(math.log(share) / math.log((1 + margin_needed(weight)) / 2)) + 1

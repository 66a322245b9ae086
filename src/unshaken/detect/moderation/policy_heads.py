"""A policy's categories as one linear head each on a model's features; the farthest over its threshold decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.moderation_policy import Policy, flagged_classes, read_policy
from unshaken.measure.detection.moderation import best_f1_threshold

STEPS = 500
"""Maximum number of steps of L-BFGS."""


def category_margins(features: Tensor, weight: Tensor, bias: Tensor, thresholds: Tensor) -> Tensor:
    """How far each category is over its threshold, `w_k f + b_k - t_k`, in logits.

    Args:
        features: f, `[N, d]`.
        weight: w, `[C, d]`.
        bias: b, `[C]`.
        thresholds: t, `[C]`, in logits.

    Returns:
        float64 `[N, C]`; above 0 the category is flagged.
    """
    return features.double() @ weight.double().T + bias.double() - thresholds.double()


def memberships(labels: Tensor, members: Sequence[tuple[int, ...]]) -> Tensor:
    """Which categories an image of a class falls under.

    Args:
        labels: int64 `[N]`.
        members: for each category the numbers of its classes.

    Returns:
        bool `[N, C]`.
    """
    return torch.stack([torch.isin(labels, torch.tensor(own, device=labels.device)) for own in members], 1)


def fit_heads(features: Tensor, belongs: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """A logistic head for each category, on standardised features; written for the features as they are.

    The objective is that of `logistic_regression`; for heads together on a thousand features L-BFGS is quicker than its
    Newton steps.

    Args:
        features: `[N, d]`; one that is constant gets no weight.
        belongs: bool `[N, C]`, each column with both values.
        c: strength of the data against the l2 penalty.

    Returns:
        Weights `[C, d]` and biases `[C]`, float64.
    """
    x = features.double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    live = deviation > 1e-6 * deviation.max().clamp(min=1e-300)
    scale = torch.where(live, 1 / deviation.clamp(min=1e-300), 0.0)
    z, y = (x - mean) * scale, belongs.double()
    w = torch.zeros(y.shape[1], z.shape[1] + 1, dtype=z.dtype, device=z.device, requires_grad=True)
    descent = torch.optim.LBFGS(
        [w], max_iter=STEPS, tolerance_grad=1e-7 * c * len(z), tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        descent.zero_grad()
        logits = z @ w[:, :-1].T + w[:, -1]
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="sum")
        value = w[:, :-1].square().sum() / 2 + c * losses
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        descent.step(objective)  # type: ignore[no-untyped-call]
    found = w.detach()
    weight = found[:, :-1] * scale
    return weight, found[:, -1] - weight @ mean


@register("policy-heads", reference="Qu et al. 2025, arXiv:2405.03486", needs=("features",))
class PolicyHeads(PenultimateDetector):
    """Policy heads: a linear classifier per category of a content policy, on the penultimate features.

    It is fitted on labelled images of all kinds, allowed or not, and needs `file=policy.yaml`, or classes by name or
    number, as `unsafe=cat+dog`; names are those of the model's or the data's classes. A score above 0 means: flagged.
    """

    labelled = True

    file: str = Field(default="", description="YAML of the policy: categories with name, definition and classes")
    unsafe: tuple[str, ...] = Field(
        default=(), description="instead of a file: classes that are flagged, as cat+dog or 3+5"
    )
    names: tuple[str, ...] = Field(
        default=(), description="names of all classes in order, if neither model nor data have them"
    )
    c: PositiveFloat = Field(default=0.01, description="inverse strength of the l2 penalty, as in scikit-learn")
    threshold: Literal["f1", "half"] = Field(
        default="f1", description="threshold of each category: best F1 on held-out images, or a probability of 0.5"
    )

    @model_validator(mode="after")
    def _one_policy(self) -> PolicyHeads:
        if bool(self.file) == bool(self.unsafe):
            raise ValueError("give the policy once: file=policy.yaml, or unsafe=cat+dog")
        return self

    @property
    def policy(self) -> Policy:
        """Policy whose categories are not allowed.

        Raises:
            DataError: the file cannot be read.
            ParameterError: it holds no policy.
        """
        return read_policy(self.file) if self.file else flagged_classes(self.unsafe, self.names)

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        policy = self.policy
        members = policy.members(fit_data.anatomy.classes, fit_data.names)
        belongs = memberships(fit_data.rows["labels"], members)
        for name, n in zip(policy.names, belongs.sum(0).tolist(), strict=True):
            if not 0 < n < len(belongs):
                raise DataError(
                    f"policy-heads: {n} of {len(belongs)} images show {name!r}; some must, and some must not"
                )
        weight, bias = fit_heads(fit_data.rows["penultimate"], belongs, self.c)
        thresholds = torch.zeros_like(bias)
        held = fit_data.held_out
        if self.threshold == "f1" and held.labels is not None:
            logits, truth = (
                category_margins(held.penultimate, weight, bias, thresholds),
                memberships(held.labels, members),
            )
            best = [best_f1_threshold(z.cpu().numpy(), t.cpu().numpy()) for z, t in zip(logits.T, truth.T, strict=True)]
            thresholds = torch.tensor(best).to(bias)
        return {"weight": weight, "bias": bias, "thresholds": thresholds}

    def categories(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """Margin of each category of the policy over its threshold, float64 `[N, C]`."""
        return category_margins(forward.penultimate, bank["weight"], bank["bias"], bank["thresholds"])

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return self.categories(forward, bank).amax(1)

"""CrossMax: a median-like vote of several predictors. It resists careless attacks, and masks gradients."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.harden.engine.defence import Defence, GuardedModel, stand_in
from unshaken.harden.engine.ensemble import Ensemble, members_of

Aggregate = Literal["median", "mean", "top-k", "max"]
Order = Literal["class-first", "predictor-first"]
TIE = 1e-4
"""By how much, at most, a class that ties for the first place and that the mean likes less is set back."""


@runtime_checkable
class Predictors(Protocol):
    """A net of several predictors, such as an `Ensemble` or `LayerHeads`."""

    def predictors(self, images: Tensor) -> Tensor:
        """Images `[B, C, H, W]` to logits `[B, N, K]`."""


def crossmax(
    logits: Tensor,
    *,
    class_max: bool = True,
    predictor_max: bool = True,
    order: Order = "class-first",
    aggregate: Aggregate = "median",
    k: int = 3,
) -> Tensor:
    """Algorithm 1: less each predictor's largest logit, less each class's largest, then the median over predictors.

    With both subtractions no output is above 0. The median of an even number is the lower of the two in the middle.

    Args:
        logits: `[B, N, K]` of N predictors.
        class_max: subtract, for each predictor, its maximum over the classes.
        predictor_max: subtract, for each class, its maximum over the predictors.
        order: which of the two comes first.
        aggregate: over the predictors; `top-k` is the k-th largest.
        k: of `top-k`, 1 to N.

    Returns:
        `[B, K]`.

    Raises:
        ParameterError: k is above N.

    Source: Fort & Lakshminarayanan 2024, arXiv:2408.05446.

    >>> crossmax(torch.tensor([[[3.0, 1, 0], [2, 2.5, 0], [2, 1, 0.5]]])).tolist()
    [[0.0, -1.0, -1.0]]
    """
    if aggregate == "top-k" and not 1 <= k <= logits.shape[1]:
        raise ParameterError(f"crossmax: k={k} of {logits.shape[1]} predictors; give 1 to {logits.shape[1]}")
    over = [(2, class_max), (1, predictor_max)]
    for dim, wanted in over if order == "class-first" else reversed(over):
        if wanted:
            logits = logits - logits.amax(dim, keepdim=True)
    if aggregate == "mean":
        return logits.mean(1)
    if aggregate == "median":
        return logits.median(1).values
    return logits.topk(1 if aggregate == "max" else k, dim=1).values[:, -1]


def tied(scores: Tensor) -> Tensor:
    """Bool `[B]`: several classes share the first place, so that the class with the lowest number would win.

    Args:
        scores: `[B, K]`.
    """
    return (scores == scores.amax(1, keepdim=True)).sum(1) > 1


def untie(scores: Tensor, mean: Tensor) -> Tensor:
    """Ties for the first place broken by the mean logits; no gradient passes through the change.

    Args:
        scores: `[B, K]`.
        mean: of the predictors' logits, `[B, K]`.
    """
    with torch.no_grad():
        first = scores == scores.amax(1, keepdim=True)
        liked = torch.where(first, mean, -torch.inf)
        behind = (liked.amax(1, keepdim=True) - liked).clamp_max(1.0)
        setback = torch.where(first & tied(scores)[:, None], TIE * behind, torch.zeros_like(scores))
    return scores - setback


class CrossMaxNet(nn.Module):
    """A net of several predictors that votes by `crossmax`.

    Args:
        net: the predictors.
        rule: the parameters of the vote.
    """

    def __init__(self, net: nn.Module, rule: CrossMax) -> None:
        super().__init__()
        self.net, self.rule = net, rule

    def predictors(self, images: Tensor) -> Tensor:
        """Logits of each predictor of the wrapped network."""
        logits: Tensor = self.net.predictors(images)  # type: ignore[operator]
        return logits

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.rule.vote(self.predictors(images))


class One(nn.Module):
    """A net that answers by one of several predictors.

    Args:
        net: the predictors.
        number: which.
    """

    def __init__(self, net: nn.Module, number: int) -> None:
        super().__init__()
        self.net, self.number = net, number

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net.predictors(images)[:, self.number]  # type: ignore[operator]
        return logits


@register("crossmax", reference="Fort & Lakshminarayanan 2024, arXiv:2408.05446")
class CrossMax(Defence):
    """CrossMax: robust voting among the members of an ensemble, or the layer heads of one network.

    Most logits get no gradient through the maxima and the median: an attack through it finds little, and examples made
    on the plain mean of the logits undo it (Zhang et al. 2024). Judge it by `adaptive.against` only.
    """

    class_max: bool = Field(default=True, description="subtract each predictor's maximum over the classes")
    predictor_max: bool = Field(default=True, description="subtract each class's maximum over the predictors")
    order: Order = Field(default="class-first", description="which subtraction comes first")
    aggregate: Aggregate = Field(
        default="median", description="aggregation over the predictors: median, mean, top-k (k-th largest), max"
    )
    k: PositiveInt = Field(default=3, description="k of aggregate=top-k")
    ties: Literal["mean", "first"] = Field(
        default="mean", description="tie-breaker: the mean logits, or the class number"
    )

    def vote(self, logits: Tensor) -> Tensor:
        """`crossmax` with these parameters, ties broken.

        Args:
            logits: `[B, N, K]`.
        """
        scores = crossmax(
            logits,
            class_max=self.class_max,
            predictor_max=self.predictor_max,
            order=self.order,
            aggregate=self.aggregate,
            k=self.k,
        )
        return untie(scores, logits.detach().mean(1)) if self.ties == "mean" else scores

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        net = model.net
        if not isinstance(net, Predictors) or _count(net) < 2:
            raise ModelError(
                f"crossmax: model {model.name!r} has one predictor: give an ensemble of 2 or more networks (a "
                "recipe such as dverge trains one), or train heads on its layers by the recipe layer-heads"
            )
        _check_different(net, model.name)
        inner = _Normalised(model)
        random = bool(getattr(model, "random", False))
        parts = _count(net)

        def surrogates() -> Mapping[str, Classifier]:
            others: dict[str, nn.Module] = {
                "mean": CrossMaxNet(inner, CrossMax(class_max=False, predictor_max=False, aggregate="mean")),
                "unsubtracted": CrossMaxNet(inner, self.model_copy(update={"predictor_max": False})),
                **{f"part-{i}": _part(model, inner, i) for i in range(parts)},
            }
            return {name: stand_in(other, model, f"{name}({model.name})") for name, other in others.items()}

        return GuardedModel(CrossMaxNet(inner, self), model, name="crossmax", random=random, surrogates=surrogates)


class _Normalised(nn.Module):
    """The predictors of a classifier from images in [0, 1]."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def predictors(self, images: Tensor) -> Tensor:
        model = self.model
        if model.mean is not None and model.std is not None:
            images = (images - model.mean.to(images)) / model.std.to(images)
        logits: Tensor = model.net.predictors(images)  # type: ignore[operator]
        return logits


def _part(model: Classifier, inner: nn.Module, number: int) -> nn.Module:
    """One predictor; of an ensemble that member alone, at a share of the cost."""
    return members_of(model)[number] if isinstance(model.net, Ensemble) else One(inner, number)


def _count(net: nn.Module) -> int:
    """Number of predictors of a net; 0 where it has no count."""
    members = getattr(net, "members", None)
    return len(members) if isinstance(members, nn.ModuleList) else int(getattr(net, "count", 0))


def _check_different(net: nn.Module, name: str) -> None:
    members = getattr(net, "members", None)
    if not isinstance(members, nn.ModuleList):
        return
    states = [m.state_dict() for m in members]
    for one, other in combinations(states, 2):
        if not (one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())):
            return
    raise ModelError(f"crossmax: all {len(members)} members of {name!r} are the same network: every class would get 0")

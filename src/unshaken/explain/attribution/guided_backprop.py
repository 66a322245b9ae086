"""Guided backpropagation: the gradient, with negative parts cut at every ReLU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.query import Answer, Goal, Gradient, Passes
from unshaken.core.registry import register
from unshaken.explain.engine.attribution import MapState, TargetScore
from unshaken.explain.engine.gradients import SingleGradient


class Rectifier(NamedTuple):
    """A call of a rectified linear unit, `min(max(x, 0), upper)`.

    Args:
        input: x.
        upper: infinite, or 6 for a ReLU6.
        inplace: whether the result is to stand in x, too.
    """

    input: Tensor
    upper: float = math.inf
    inplace: bool = False


def _relu(input: Tensor, inplace: bool = False) -> Rectifier:
    return Rectifier(input, inplace=inplace)


def _relu_(input: Tensor) -> Rectifier:
    return Rectifier(input, inplace=True)


def _relu6(input: Tensor, inplace: bool = False) -> Rectifier:
    return Rectifier(input, 6.0, inplace)


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Rectifier | None:
    return Rectifier(input, max_val, inplace) if min_val == 0 else None


RECTIFIERS: Mapping[Any, Callable[..., Rectifier | None]] = {
    F.relu: _relu, torch.relu: _relu, Tensor.relu: _relu, torch.relu_: _relu_, Tensor.relu_: _relu_,
    F.relu6: _relu6, F.hardtanh: _hardtanh,
}  # fmt: skip
"""Functions that are, or may be, rectified linear units; modules call them."""


class GuidedReLUs(TorchFunctionMode):
    """Inside, every ReLU lets a gradient pass only where it is positive and the input is, too.

    Modules and calls of a function are changed alike, and nothing is changed on the model. `count` says how many
    calls there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @override
    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or what stands in its place."""
        call = RECTIFIERS[func](*args, **kwargs or {}) if func in RECTIFIERS else None
        if call is None:
            return func(*args, **kwargs or {})
        self.count += 1
        found = _Guided.apply(call.input, call.upper)  # type: ignore[no-untyped-call]
        return call.input.copy_(found) if call.inplace else found


class _Guided(torch.autograd.Function):
    """A ReLU with the backward pass of guided backpropagation."""

    @staticmethod
    @override
    def forward(ctx: Any, x: Tensor, upper: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < upper))
        return x.clamp(0, upper)

    @staticmethod
    @override
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (active,) = ctx.saved_tensors
        return gradient.clamp(min=0) * active, None


class GuidedGradient(Gradient):
    """The gradient of a per-sample objective by the points, through guided ReLUs."""

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        with GuidedReLUs():
            return super().evaluate(passes, goal)


@register("guided-backprop", reference="Springenberg et al. 2015, arXiv:1412.6806")
class GuidedBackprop(SingleGradient):
    """Guided backpropagation: the gradient, where every ReLU passes only positive gradients.

    Beware: such maps hardly change when the model's weights are replaced by random ones (Adebayo et al. 2018,
    arXiv:1810.03292; Nie et al. 2018, arXiv:1805.07039). They show edges of the image rather than what the model
    decides by: do not judge a model by them alone. ReLUs and ReLU6s are changed, whether modules or functions.
    """

    remarks: ClassVar[tuple[str, ...]] = (
        "Maps of guided backpropagation hardly change when the model's weights are replaced by random ones: they show "
        "edges of the image rather than what the model decides by (Adebayo et al. 2018, arXiv:1810.03292).",
    )

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        with evaluating(model), torch.no_grad(), GuidedReLUs() as found:
            model(images[:1])
        if not found.count:
            raise ModelError(
                f"guided-backprop: model {model.name!r} calls no ReLU that could be changed (GELU and SiLU are none, "
                "and calls inside a compiled net are not seen): use gradient or smoothgrad"
            )
        return self

    @override
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        return gradient

    @override
    def ask(self, state: MapState) -> GuidedGradient:
        return GuidedGradient(state.target.images, of=TargetScore(state.target.classes, self.score))

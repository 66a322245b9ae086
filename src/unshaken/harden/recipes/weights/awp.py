"""AWP: adversarial weight perturbation, a flat minimum in the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import CLASSES, MASKS, Recipe, Step, frozen_statistics


def weight_direction(weight: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at the length of the weights: `v |w| / (|v| + 1e-20)`, norms over the whole tensor."""
    scale: Tensor = torch.linalg.vector_norm(weight) / (torch.linalg.vector_norm(gradient) + 1e-20)
    return gradient * scale


@register("awp", reference="Wu et al. 2020, arXiv:2004.05884")
class AWP(Recipe):
    """Adversarial weight perturbation (AWP): takes each training step at weights perturbed to raise the loss.

    Moved are weights of more than one dimension. It costs a forward and a backward pass a step more.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"weights"})
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, MASKS})
    refuses: ClassVar[Mapping[str, str]] = {
        "targets": "it is not defined for mixed labels; leave one of the two out",
        "views": "it is not defined for losses over several augmented views; leave one of the two out",
    }

    gamma: PositiveFloat = Field(
        default=0.01, description="size of the perturbation relative to the weights; 0.005 for trades"
    )
    warmup: NonNegativeInt = Field(default=0, description="epochs before the first perturbation")

    @contextmanager
    @override
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        if step.epoch < self.warmup:
            yield
            return
        weights = [p for p in step.classifier.parameters() if p.requires_grad and p.ndim > 1]
        moves = self.moves(step, weights, loss)
        with torch.no_grad():
            for weight, move in zip(weights, moves, strict=True):
                weight.add_(move)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, move in zip(weights, moves, strict=True):
                    weight.sub_(move)

    def moves(self, step: Step, weights: list[nn.Parameter], loss: Callable[[], Tensor]) -> list[Tensor]:
        """`gamma v |w| / |v|` of each weight."""
        with frozen_statistics(step.classifier):
            slopes = torch.autograd.grad(loss(), weights, allow_unused=True)
        found = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, slopes, strict=True)]
        step.average(found)
        return [self.gamma * weight_direction(w.detach(), g) for w, g in zip(weights, found, strict=True)]

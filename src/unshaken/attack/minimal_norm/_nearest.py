"""The nearest adversarial example that a search has met so far, and the rates of searches that anneal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unshaken.attack.engine.ball import ORDERS
from unshaken.attack.engine.problem import Problem
from unshaken.core.classifier import predict
from unshaken.core.state import State


class Nearest(State):
    """One row a sample.

    Args:
        x: the nearest adversarial point so far, `[N, C, H, W]`; the clean image where there is none.
        norm: its distance, float32 `[N]`; that of the farthest corner of the box where there is none.
        found: bool `[N]`: there is one.
    """

    x: Tensor
    norm: Tensor
    found: Tensor

    @classmethod
    def none(cls, problem: Problem) -> Nearest:
        """Before the first answer."""
        clean = problem.ball.clean
        return cls(clean, farthest(clean, problem.ball.norm), torch.zeros_like(problem.labels, dtype=torch.bool))

    def add(self, x: Tensor, norm: Tensor, fooled: Tensor) -> Nearest:
        """With one more point.

        Args:
            x: `[N, C, H, W]`.
            norm: distance of the clean image, `[N]`.
            fooled: bool `[N]`.
        """
        nearer = fooled & ((norm < self.norm) | ~self.found)
        wide = nearer.view(-1, 1, 1, 1)
        return Nearest(torch.where(wide, x, self.x), torch.where(nearer, norm, self.norm), self.found | nearer)


def farthest(clean: Tensor, norm: str) -> Tensor:
    """Distance from an image to the farthest corner of [0, 1], `[N]`."""
    return length(torch.maximum(clean, 1 - clean), norm)


def length(delta: Tensor, norm: str) -> Tensor:
    """The norm of each row of a change `[N, C, H, W]`, `[N]`."""
    size: Tensor = torch.linalg.vector_norm(delta.flatten(1), ORDERS[norm], dim=1)
    return size


def is_fooled(problem: Problem, logits: Tensor) -> Tensor:
    """Bool `[N]`: of another class than the label, or of the target."""
    return (predict(logits) == problem.labels) == problem.targeted


def cosine(step: Tensor, steps: int, first: float, last: float) -> Tensor:
    """A rate that falls from `first` before the first of some steps to `last` after the last one, along half a cosine.

    Args:
        step: steps made, int64 `[N]`.
        steps: in all.
        first: rate at 0.
        last: rate at `steps`.

    >>> [round(r, 3) for r in cosine(torch.tensor([0, 5, 10]), 10, 1.0, 0.0).tolist()]
    [1.0, 0.5, 0.0]
    """
    return last + (first - last) * (1 + (math.pi * step.float() / steps).cos()) / 2

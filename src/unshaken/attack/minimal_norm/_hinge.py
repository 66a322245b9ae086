"""The parts of Carlini and Wagner's attack: its hinge, the search for the weight of it, and tanh space."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.losses import margin
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective
from unshaken.core.state import State

GUARD = 1 - 1e-6
"""Keeps w finite, so that pixels of exactly 0 or 1 can move."""
LARGEST_C = 1e10
"""In the place of an upper bound of c that was never found."""


class Hinge(Objective):
    """`c max(z_y - max_{k != y} z_k + kappa, 0)`; with targets t `c max(max_{k != t} z_k - z_t + kappa, 0)`.

    Args:
        labels: int64 `[N]`: labels y, or targets t.
        c: weights `[N]`.
        targeted: which of the two.
        kappa: confidence asked for, in logits.
    """

    labels: Tensor
    c: Tensor
    targeted: bool
    kappa: float

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, to fall."""
        lead = margin(required(answer.logits), self.labels)
        return self.c * ((-lead if self.targeted else lead) + self.kappa).clamp_min(0)


class Weight(State):
    """The search for the smallest c whose run of Adam finds an example, one row a sample.

    Args:
        c: of the current run, `[N]`.
        lower: largest c that failed.
        upper: smallest c that succeeded, infinite before the first.
        runs: ended, int64 `[N]`.
    """

    c: Tensor
    lower: Tensor
    upper: Tensor
    runs: Tensor

    @classmethod
    def of(cls, c: Tensor) -> Weight:
        """Before the first run."""
        return cls(c, torch.zeros_like(c), torch.full_like(c, math.inf), torch.zeros_like(c, dtype=torch.int64))

    def next(self, ended: Tensor, found: Tensor, search_steps: int) -> Weight:
        """After a run: halve the interval, or ten times c while nothing has been found.

        Of ten runs or more, the last one has `c = upper`.

        Args:
            ended: bool `[N]`: whose run has ended; the others stay.
            found: bool `[N]`: whose run has found an example.
            search_steps: runs in all.
        """
        upper = torch.where(ended & found, torch.minimum(self.upper, self.c), self.upper)
        lower = torch.where(ended & ~found, torch.maximum(self.lower, self.c), self.lower)
        runs = self.runs + ended
        c = torch.where(upper < math.inf, (lower + upper) / 2, 10 * self.c)
        if search_steps >= 10:
            c = torch.where(runs == search_steps - 1, upper.clamp_max(LARGEST_C), c)
        return Weight(torch.where(ended, c, self.c), lower, upper, runs)


def tanh_space(x: Tensor) -> Tensor:
    """`atanh((2x - 1)(1 - 1e-6))`, of pixels in [0, 1]."""
    return x.mul(2).sub_(1).mul_(GUARD).atanh_()


def image_space(w: Tensor) -> Tensor:
    """`(tanh(w) + 1) / 2`, written as a sigmoid, which keeps small values exact.

    >>> round(float(image_space(tanh_space(torch.tensor(0.25)))), 5)
    0.25
    """
    return torch.sigmoid(2 * w)

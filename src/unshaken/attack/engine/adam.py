"""Adam for searches: each sample has moments and a step count of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.state import State

BETA1, BETA2, TINY = 0.9, 0.999, 1e-8


class Adam(State):
    """Moments of the gradients so far, one row a sample.

    Args:
        m: mean of gradients, decayed by `BETA1`.
        v: mean of their squares, decayed by `BETA2`.
    """

    m: Tensor
    v: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Adam:
        """Before the first step.

        Args:
            values: what is optimised, `[N, ...]`.
        """
        return cls(torch.zeros_like(values), torch.zeros_like(values))

    def add(self, gradient: Tensor) -> Adam:
        """With one more gradient, `[N, ...]`."""
        return Adam(self.m.lerp(gradient, 1 - BETA1), self.v.lerp(gradient.square(), 1 - BETA2))

    def direction(self, count: Tensor) -> Tensor:
        """The step at rate 1 along which the objective rises, bias corrected: `m' / (sqrt(v') + 1e-8)`.

        Args:
            count: int64 `[N]`, gradients added so far, 1 or more.
        """
        wide = count.to(self.m).view(-1, *(1,) * (self.m.ndim - 1))
        m, v = self.m / (1 - BETA1**wide), self.v / (1 - BETA2**wide)
        return m / (v.sqrt() + TINY)

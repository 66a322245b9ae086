"""Ways to the worst edit of an image: at random, direction by direction, and along the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from unshaken.core.query import Answer

if TYPE_CHECKING:
    from unshaken.attack.black_box.natra import NaTra, NaTraState


class Solver(Protocol):
    """A way to the worst edit."""

    def count(self, attack: NaTra, k: int) -> int:
        """Queries in all."""

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """Amounts `[N, k]` of the edit of number `state.step`, given the answer to the one before."""


class Candidates:
    """Random amounts, uniform in the box."""

    def count(self, attack: NaTra, k: int) -> int:
        """As many as `draws`."""
        return attack.draws

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """Those of this number, whatever came before: a longer search tries all that a shorter one does."""
        return attack.edits.draw(state.rng.fold(state.step), attack.amplitude).to(state.codes)


class Coordinates:
    """Each direction in turn to both its ends, the others where the loss was largest."""

    def count(self, attack: NaTra, k: int) -> int:
        """Two a direction and round."""
        return 2 * k * attack.rounds

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """The best amounts, one of them at an end."""
        k = state.best.shape[1]
        end = torch.where(state.step % 2 == 0, -attack.amplitude, attack.amplitude).to(state.best)
        return state.best.scatter(1, (state.step // 2 % k)[:, None], end[:, None])


class SignGradient:
    """Steps of a third of the amplitude along the sign of the gradient by the amounts, from no edit."""

    def count(self, attack: NaTra, k: int) -> int:
        """The steps, and the point from which they start."""
        return attack.steps + 1

    def next(self, attack: NaTra, state: NaTraState, answer: Answer | None) -> Tensor:
        """The next amounts, cut to the box."""
        if answer is None or answer.gradient is None:
            return torch.zeros_like(state.best)
        with torch.enable_grad():
            amounts = state.amounts.detach().requires_grad_(True)
            images = attack.edits.edit(state.problem.ball.clean, state.codes, amounts, state.base)
            (slope,) = torch.autograd.grad(images, amounts, grad_outputs=answer.gradient.to(images))
        step = attack.amplitude / 3 * slope.sign()
        return (state.amounts + step).clamp(-attack.amplitude, attack.amplitude)


SOLVERS: Mapping[str, Solver] = {
    "candidates": Candidates(), "coordinates": Coordinates(), "gradient": SignGradient()
}  # fmt: skip

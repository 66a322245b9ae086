"""`StepLength`: the length of a search's steps, as a share of eps or in pixel units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from unshaken.attack.engine.ball import Ball
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import show_budget
from unshaken.core.registry import Parameters


class StepLength(Parameters):
    """Base class of methods whose steps are a share of eps (`rel_stepsize`), or of a length of their own (`step_size`).

    Raises:
        ParameterError: both are given, or the step is longer than the method's own eps allows.
    """

    longest_step: ClassVar[float] = 1.0
    """Largest `step_size`, as a multiple of eps."""

    rel_stepsize: PositiveFloat = Field(default=0.1, description="length of a step, as a share of eps")
    step_size: PositiveFloat | None = Field(
        default=None, description="length of a step in the unit of eps, for pixels in [0, 1], in place of rel_stepsize"
    )

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        if self.step_size is not None and "rel_stepsize" in self.model_fields_set:
            raise ValueError("rel_stepsize, a share of eps, and step_size, in pixel units: give one of them")
        eps = getattr(self, "eps", None)  # of a recipe
        if isinstance(eps, float) and (fault := self._fault(eps)):
            raise ValueError(fault)
        return self

    @property
    def chosen_step(self) -> dict[str, float]:
        """The one of the two parameters that holds, by name."""
        if self.step_size is None:
            return {"rel_stepsize": self.rel_stepsize}
        return {"step_size": self.step_size}

    def step_length(self, ball: Ball) -> Tensor:
        """Length of a step for each sample, in a shape that broadcasts over images."""
        if self.step_size is None:
            return self.rel_stepsize * ball.radius
        return torch.full_like(ball.radius, self.step_size)

    def _fault(self, eps: float) -> str:
        """How `step_size` is too long for a budget; empty if it is not."""
        if self.step_size is None or not self.step_size > self.longest_step * eps > 0:
            return ""
        most = "" if self.longest_step == 1 else f"{self.longest_step:g} times "
        return (
            f"step_size={show_budget(self.step_size)} is above {most}eps={show_budget(eps)}: "
            f"step_size is in pixel units; for a share of eps write rel_stepsize={self.step_size:g}"
        )


def check_step_size(method: object, eps: Iterable[float]) -> None:
    """Refuse a `step_size` that is longer than a budget.

    Args:
        method: any; only one with a `StepLength` is looked at.
        eps: the budgets.

    Raises:
        ParameterError: it is longer.
    """
    if isinstance(method, StepLength):
        for radius in sorted(eps):
            if fault := method._fault(radius):
                raise ParameterError(f"{method.info.name}: {fault}")

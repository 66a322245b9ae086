"""Budgets of an attack, checked: shared by attacks on every task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unshaken.core.errors import ParameterError


def check_budgets(
    name: str, norms: Sequence[str], norm: str | None, eps: Sequence[float], *, minimal: bool = False
) -> list[float]:
    """The budgets of an attack.

    Args:
        name: of the attack, for messages.
        norms: that it has; empty for one whose budget is not a norm.
        norm: of the budgets.
        eps: the budgets, in [0, 1] pixel units under the norm.
        minimal: whether `inf` is one, for the nearest example at any distance.

    Returns:
        They, or infinity for an attack without norms.

    Raises:
        ParameterError: norm or eps is not allowed.
    """
    if not norms:
        if eps:
            raise ParameterError(f"{name}: has no eps; its budget is set by its own parameters: omit eps")
        return [math.inf]
    if norm not in norms:
        raise ParameterError(f"{name}: norm {norm!r} is not one of {', '.join(norms)}")
    if not eps:
        raise ParameterError(f"{name}: give eps, such as [8/255]")
    for radius in eps:
        if not (radius >= 0 and (math.isfinite(radius) or minimal)):
            raise ParameterError(f"{name}: eps {radius!r} must be a finite number >= 0, in units of [0, 1] pixels")
    return list(eps)

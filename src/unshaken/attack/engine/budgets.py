"""Budgets of an attack, checked, and the conditions that they make: shared by attacks on every task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition


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


def conditions_of(
    name: str, norms: Sequence[str], *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str,
    minimal: bool = False,
) -> list[Condition]:  # fmt: skip
    """One condition a budget; of a minimal-norm attack one more, without a budget; one for an attack without norms.

    Args:
        name: of the attack.
        norms: as in `check_budgets`.
        label: its name, made unique within the plan.
        severities: refused; an attack has none.
        eps: budgets.
        norm: of the budgets.
        minimal: as in `check_budgets`.

    Raises:
        ParameterError: norm or eps is not allowed, or severities are given.
    """
    if severities:
        raise ParameterError(f"{name}: an attack has eps, not severities")
    if not norms:
        check_budgets(name, norms, None, eps)
        return [Condition(label, name)]
    if minimal:
        eps = [*(e for e in eps if e < math.inf), math.inf]
    return [
        Condition(f"{label}-{norm}-{e:.6g}", name, eps=e, norm=norm)
        if e < math.inf
        else Condition(f"{label}-{norm}", name, norm=norm)
        for e in check_budgets(name, norms, norm, eps, minimal=minimal)
    ]

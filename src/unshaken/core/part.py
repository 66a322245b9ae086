"""`Condition` and `Part`: what a method gives for a run's rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unshaken.core.flag import Flag


@dataclass(frozen=True, slots=True)
class Condition:
    """One method at one severity or budget; `clean` is a condition, too.

    Args:
        id: unique in a run and fit for a file name, such as `fog-3` or `pgd-linf-0.1`; at most 200 characters.
        method: registry name, or `clean`.
        severity: 1 to 5 for stressors.
        eps: budget of an attack, in [0, 1] pixel units under `norm`.
        norm: `linf`, `l2` or `l1`.
        target: rule or class of a targeted attack; None for any class but the label. Rows hold the classes themselves.
    """

    id: str
    method: str
    severity: int | None = None
    eps: float | None = None
    norm: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._=+-]{1,200}", self.id):
            raise ValueError(f"condition id {self.id!r} cannot be used as a file name")


CLEAN = Condition("clean", "clean")


def name_condition(label: str, norm: str, eps: float) -> str:
    """The id of a condition with a budget or a radius, `LABEL-NORM-EPS`.

    Args:
        label: of its line of the plan.
        norm: `linf`, `l2` or `l1`.
        eps: in [0, 1] pixel units; six digits of it count.

    >>> name_condition("ibp", "linf", 2 / 255)
    'ibp-linf-0.00784314'
    """
    return f"{label}-{norm}-{eps:.6g}"


MODEL = "model"
"""The predictor that the rows of most methods evaluate; others name theirs by a property `subject`."""

CERTIFICATE = "certificate"
"""Group of the conditions that hold answers which certificates speak of, and are no change of the images."""

DETECTOR = "detector"
"""Group of the conditions that hold answers of the model behind a detector."""

TARGETED = "targeted"
"""Group of the conditions whose attack was to reach a chosen class, and says little of how many leave theirs."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one condition for one shard's samples.

    Args:
        table: such as `outcomes`.
        condition: where the rows belong.
        columns: column name to values, one a sample; columns left out are null.
        images: gives what the model saw of some samples, by their indices: float32 `[n, C, H, W]`, for pictures.
        flags: doubts met on the way.
    """

    table: str
    condition: Condition
    columns: dict[str, Any]
    images: Callable[[Tensor], Tensor] | None = None
    flags: tuple[Flag, ...] = field(default=())

"""Factors of models that a user declares, and groups of models compared at the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.documents import first_problem
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure import Figure
from unshaken.measure.statistics.columns import Numbers, numbers, same_length
from unshaken.measure.statistics.intervals import bootstrap_figure

FACTORS = ("architecture", "training_set", "training_size", "fine_tuned", "loss", "prompts")
"""The six factors of design; `family` groups models for lines."""
UNKNOWN = "not stated"


class ModelFactors(BaseModel):
    """How a model was designed, as its user declares it. Every field is a free text but the two numbers.

    Args:
        architecture: of the image encoder, such as `ViT`, `RN`, `ConvNeXt`.
        training_set: such as `LAION-2B`.
        training_size: samples that it was trained on.
        fine_tuned: `none`, `standard`, `contrastive`, `parameter-efficient`, ...
        loss: `InfoNCE`, `sigmoid`, `cross-entropy`, ...
        prompts: templates at test time; 0 for a classifier with a head. Filled in for a zero-shot model.
        family: models through which one line is drawn, such as `zero-shot CLIP`; default the value of `fine_tuned`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = UNKNOWN
    training_set: str = UNKNOWN
    training_size: int | None = Field(default=None, ge=1)
    fine_tuned: str = "none"
    loss: str = UNKNOWN
    prompts: int | None = Field(default=None, ge=0)
    family: str = ""

    @property
    def line(self) -> str:
        """The family, or the kind of fine-tuning where none is given."""
        return self.family or f"fine-tuned: {self.fine_tuned}"

    def value(self, factor: str) -> str:
        """The value of a factor as text.

        Raises:
            ParameterError: there is no such factor.
        """
        check_factor(factor)
        found = getattr(self, factor)
        return UNKNOWN if found is None else str(found)


def check_factor(factor: str) -> None:
    """Refuse what is none of the six factors.

    Raises:
        ParameterError: it is none.
    """
    if factor not in FACTORS:
        raise ParameterError(f"there is no factor {factor!r} of models; {did_you_mean(factor, FACTORS)}")


def parse_factors(values: Mapping[str, Any], model: str) -> ModelFactors:
    """The declared factors of a model.

    Args:
        values: some of the six factors, and `family`.
        model: its name, for messages.

    Raises:
        ParameterError: a factor is not known, or its value is of the wrong kind.
    """
    known = list(ModelFactors.model_fields)
    wrong = next((name for name in values if name not in known), None)
    if wrong is not None:
        raise ParameterError(f"model {model!r}: there is no factor {wrong!r}; {did_you_mean(str(wrong), known)}")
    try:
        return ModelFactors(**values)
    except ValidationError as error:
        raise ParameterError(f"model {model!r}: {first_problem(error, 'factors')}") from None


def matched_difference(
    values: ArrayLike, accuracy: ArrayLike, groups: Sequence[str], one: str, other: str, *, resamples: int = 2000,
    level: float = 0.95, seed: int = 0,
) -> Figure | None:  # fmt: skip
    """How far a figure of one group of models lies above another's at the same accuracy.

    Both groups share a slope in accuracy: `value = a_group + b accuracy` by least squares; the figure is the difference
    of the intercepts, its interval from a bootstrap over the models of each group. Groups are unbalanced in all other
    factors: it describes these models, and says nothing of a cause.

    Args:
        values: of M models.
        accuracy: of the same models, which they are matched on.
        groups: of each.
        one: the group that is compared.
        other: with which.
        resamples: bootstrap draws of models.
        level: coverage of the interval.
        seed: of the draws.

    Returns:
        The figure over the models of both groups; None where one has fewer than two, or where all of each group
        have one accuracy that differs between the groups, so that nothing tells a slope.
    """
    y, x = numbers("values", values), numbers("accuracy", accuracy)
    same_length(values=y, accuracy=x, groups=np.array(groups))
    places = [np.flatnonzero(np.array(groups) == group) for group in (one, other)]
    if min(map(len, places)) < 2:
        return None
    value = float(_difference(x, y, [p[None] for p in places])[0])
    if not np.isfinite(value):
        return None
    rng = np.random.default_rng(seed)
    drawn = [p[rng.integers(len(p), size=(resamples, len(p)))] for p in places]
    draws = _difference(x, y, drawn)
    draws = draws[np.isfinite(draws)]
    n = sum(map(len, places))
    return bootstrap_figure(value, draws, n, level=level) if len(draws) else None


def _difference(x: Numbers, y: Numbers, places: Sequence[NDArray[np.int64]]) -> Numbers:
    """The difference of intercepts of each draw `[B]`; NaN where it has no slope and the groups differ in accuracy."""
    xs, ys = [x[p] for p in places], [y[p] for p in places]
    centred = [(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)) for a, b in zip(xs, ys, strict=True)]
    spread = np.sum([(a**2).sum(1) for a, _ in centred], 0)
    shared = np.sum([(a * b).sum(1) for a, b in centred], 0)
    apart = xs[0].mean(1) - xs[1].mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(spread > 1e-12, shared / np.where(spread > 1e-12, spread, 1.0), np.nan)
        found = ys[0].mean(1) - ys[1].mean(1) - np.where(np.abs(apart) < 1e-12, 0.0, slope * apart)
    return np.asarray(found, np.float64)

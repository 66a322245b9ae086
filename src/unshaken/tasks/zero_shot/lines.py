"""Accuracy on a factor's images against accuracy on all of them: a robust line a family, and who stands off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure import EffectiveRobustness, RobustnessLine, effective_robustness, fit_line
from unshaken.measure.statistics.columns import Numbers

LEAST = 3
"""Models that a line is drawn through at least: two always lie on one."""
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class FamilyLine:
    """The line of one family of models.

    Args:
        line: Huber's, of accuracies as they are.
        correlation: of both accuracies over the models; None where one of them does not vary.
        models: names.
    """

    line: RobustnessLine
    correlation: float | None
    models: tuple[str, ...]


def family_lines(
    overall: Mapping[str, float], shifted: Mapping[str, float], families: Mapping[str, str]
) -> dict[str, FamilyLine]:
    """A robust line for each family with three models or more of different overall accuracy.

    Args:
        overall: model to accuracy on all images.
        shifted: model to accuracy on the factor's images, or under a shift.
        families: model to family.
    """
    found = {}
    for family in dict.fromkeys(families[m] for m in overall if m in shifted):
        models = tuple(m for m in overall if m in shifted and families[m] == family)
        x, y = _values(overall, models), _values(shifted, models)
        if len(models) >= LEAST and np.ptp(x) > 0:
            r = float(np.corrcoef(x, y)[0, 1]) if np.ptp(y) > 0 else None
            found[family] = FamilyLine(fit_line(x, y, transform="linear", fit="huber"), r, models)
    return found


def robustness_beyond(
    overall: Mapping[str, float], shifted: Mapping[str, float], families: Mapping[str, str], baseline: str = ""
) -> dict[str, EffectiveRobustness]:
    """Effective robustness of each model: its accuracy less what a line of baseline models foretells.

    Args:
        overall: as for `family_lines`.
        shifted: likewise.
        families: likewise.
        baseline: the family of the baselines; empty for all models. The model itself is never one of its baselines.

    Returns:
        By model; those whose baselines are fewer than three, or all of one accuracy, have no entry.

    Raises:
        ParameterError: there is no such family.
    """
    if baseline and baseline not in families.values():
        known = did_you_mean(baseline, set(families.values()))
        raise ParameterError(f"no model is of the family {baseline!r}; {known}")
    found = {}
    for model in overall:
        others = [m for m in overall if m != model and m in shifted and (not baseline or families[m] == baseline)]
        x = _values(overall, others)
        if model in shifted and len(others) >= LEAST and np.ptp(x) > 0:
            y = _values(shifted, others)
            found[model] = effective_robustness(
                overall[model], shifted[model], x, y, transform="linear", fit="huber", resamples=RESAMPLES
            )
    return found


def _values(of: Mapping[str, float], models: Sequence[str]) -> Numbers:
    return np.array([of[m] for m in models], np.float64)

"""The cost of each kind of a detector's errors, with intervals from halves of the images."""

from __future__ import annotations

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.errors import KINDS, Errors
from unshaken.measure.object_detection.map_figures import map_difference, resampled_map
from unshaken.measure.statistics.figure import Figure

REPAIRS = (*KINDS, "false", "unfound")
"""Kinds of errors, all false detections together, and all objects that are not hit."""


def cost_figures(
    errors: Errors, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Figure | None]:
    """The mean AP at the threshold of a hit that repairs of each kind would gain, paired over halves of the images.

    Args:
        errors: of `find_errors`.
        resamples: number of halves behind an interval, at least 2.
        seed: of the draws.
        level: coverage, approximately.

    Returns:
        Of each of `REPAIRS` the figure; None where the repair leaves no object that is asked for.

    Raises:
        ParameterError: there is no object, a single image, or resamples is below 2.
    """
    there = resampled_map(errors.matched, resamples=resamples, seed=seed)
    found: dict[str, Figure | None] = {}
    for name in REPAIRS:
        try:
            repaired = resampled_map(errors.repaired(name), resamples=resamples, seed=seed)
        except ParameterError:  # no object is left
            found[name] = None
        else:
            found[name] = map_difference(there, repaired, level=level)
    return found

"""Confidence of a classifier in the slices of a data set: calibration, and answering only where it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.calibration.calibration import calibration_error
from unshaken.measure.detection.selective import accuracy_at_coverage, aurc
from unshaken.measure.slices import Slicing
from unshaken.measure.statistics.columns import flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.paired import holm

COVERAGE = 0.8
"""Share of a slice that is answered, for the accuracy on it."""
_RESAMPLES = 1000
_DRAWS_A_SLICE = 40
"""Draws of a calibrated model for each slice tested: the least p-value, corrected, is then 0.025 at most."""


@dataclass(frozen=True, slots=True)
class SliceConfidence:
    """How far the confidence of a model can be trusted in one slice. Each interval holds by itself.

    Args:
        slicing: name of the column.
        part: of it.
        ece: expected calibration error, in 15 bins of equal width.
        bias: the error that a perfectly calibrated model would have on as many samples, on average.
        signed_gap: accuracy less mean confidence; below 0 the model is too sure.
        p_value: that a calibrated model is as far off, corrected for the number of slices (Holm).
        brier: Brier score, in [0, 2]; None where no sample has one.
        aurc: area under the risk-coverage curve of the confidence; lower is better.
        accuracy_at_80: accuracy on the 80 % of the slice of which the model is surest.
    """

    slicing: str
    part: str
    ece: Figure
    bias: float
    signed_gap: float
    p_value: float
    brier: Figure | None
    aurc: Figure
    accuracy_at_80: Figure


def slice_confidence(
    confidence: ArrayLike, correct: ArrayLike, brier_terms: ArrayLike, slicings: Sequence[Slicing], *,
    level: float = 0.95, seed: int = 0,
) -> list[SliceConfidence]:  # fmt: skip
    """Calibration and selective prediction in every slice.

    Args:
        confidence: of the predicted classes, `[N]` in [0, 1].
        correct: whether each prediction is right, bool `[N]`.
        brier_terms: `sum_k (p_k - 1[y = k])^2` of each sample, `[N]`, NaN where there is none.
        slicings: of the samples.
        level: coverage of each interval.
        seed: of the draws.

    Returns:
        By slicing and part; a slice without a sample is left out.

    Raises:
        ParameterError: a confidence is missing or outside [0, 1], or lengths differ.
    """
    conf, right = numbers("confidence", confidence, low=0, high=1), flags("correct", correct)
    terms = np.asarray(brier_terms, np.float64)
    same_length(confidence=conf, correct=right, brier_terms=terms, **{s.name: s.codes for s in slicings})
    parts = [(s, k) for s in slicings for k in np.unique(s.codes[s.codes >= 0]).tolist()]
    draws, found, p_values = max(1000, _DRAWS_A_SLICE * len(parts)), list[SliceConfidence](), list[float]()
    for s, k in parts:
        rows = s.codes == k
        own, hits, scores = conf[rows], right[rows], terms[rows & np.isfinite(terms)]
        error = calibration_error(own, hits, level=level, resamples=_RESAMPLES, simulations=draws, seed=seed)
        p_values.append(error.p_calibrated)
        brier = None
        if len(scores):
            most = max(2.0, float(scores.max()))
            brier = mean_figure(scores, low=0.0, high=most, level=level, resamples=_RESAMPLES, seed=seed)
        area = aurc(-own, hits, level=level, resamples=_RESAMPLES, seed=seed)
        answered = accuracy_at_coverage(-own, hits, COVERAGE, level=level, resamples=_RESAMPLES, seed=seed)
        found.append(
            SliceConfidence(s.name, s.parts[k], error.ece, error.bias, error.signed_gap, 1.0, brier, area, answered)
        )
    corrected = holm(p_values).tolist() if found else []
    return [replace(one, p_value=p) for one, p in zip(found, corrected, strict=True)]

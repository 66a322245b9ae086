"""Figures with intervals, from columns of rows: numpy and scipy alone, no model and no run directory."""

from unshaken.measure.accuracy import accuracy, accuracy_by_class, attack_success_rate, robust_accuracy
from unshaken.measure.alexnet import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, BENCHMARK, VALIDATION
from unshaken.measure.calibration import CalibrationError, ReliabilityBin, calibration_error
from unshaken.measure.corruption import CorruptionError, corruption_error
from unshaken.measure.effective_robustness import (
    EffectiveRobustness,
    RobustnessLine,
    effective_robustness,
    fit_line,
    relative_robustness,
)
from unshaken.measure.fairness import Disparity, disparity, gap_change, over_seeds, signed_gap
from unshaken.measure.figure import Figure
from unshaken.measure.intervals import clopper_pearson, share
from unshaken.measure.join import match
from unshaken.measure.minimal_norm import MinimalNorm, SuccessCurve, minimal_norm, success_curve
from unshaken.measure.paired import (
    Comparison,
    compare,
    compare_by_id,
    holm,
    holm_corrected,
    mcnemar,
    paired_difference,
)
from unshaken.measure.proper_scores import brier, nll, softmax, top_label
from unshaken.measure.temperature import (
    Temperature,
    VectorScaling,
    expected_kl,
    fit_temperature,
    fit_vector_scaling,
)
from unshaken.measure.worst_case import WorstCase, worst_case

__all__ = [
    "ALEXNET_CLEAN_ERROR",
    "ALEXNET_ERROR",
    "BENCHMARK",
    "VALIDATION",
    "CalibrationError",
    "Comparison",
    "CorruptionError",
    "Disparity",
    "EffectiveRobustness",
    "Figure",
    "MinimalNorm",
    "ReliabilityBin",
    "RobustnessLine",
    "SuccessCurve",
    "Temperature",
    "VectorScaling",
    "WorstCase",
    "accuracy",
    "accuracy_by_class",
    "attack_success_rate",
    "brier",
    "calibration_error",
    "clopper_pearson",
    "compare",
    "compare_by_id",
    "corruption_error",
    "disparity",
    "effective_robustness",
    "expected_kl",
    "fit_line",
    "fit_temperature",
    "fit_vector_scaling",
    "gap_change",
    "holm",
    "holm_corrected",
    "match",
    "mcnemar",
    "minimal_norm",
    "nll",
    "over_seeds",
    "paired_difference",
    "relative_robustness",
    "robust_accuracy",
    "share",
    "signed_gap",
    "softmax",
    "success_curve",
    "top_label",
    "worst_case",
]

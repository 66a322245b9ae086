"""Figures with intervals, from columns of rows: numpy and scipy alone, no model and no run directory."""

from unshaken.measure.calibration.calibration import CalibrationError, brier, calibration_error, nll, softmax, top_label
from unshaken.measure.calibration.temperature import Temperature, expected_kl, fit_temperature, fit_vector_scaling
from unshaken.measure.detection.conformal import Threshold, conformal_p_values, conformal_threshold
from unshaken.measure.detection.detection import (
    Detection,
    aupr,
    detection_accuracy,
    fpr95_id_accept,
    fpr95_ood_recall,
    paired_bootstrap,
)
from unshaken.measure.detection.drift import Drift
from unshaken.measure.detection.ranking import auroc, compare_auroc
from unshaken.measure.detection.selective import accuracy_at_coverage, aurc, excess_aurc, risk_coverage
from unshaken.measure.detection.wasserstein_bound import wasserstein_bound
from unshaken.measure.generation.distances import frechet_at_infinity, frechet_distance, kernel_distance
from unshaken.measure.generation.nearest import find_leakage, precision_recall
from unshaken.measure.generation.recognisability import diversity, recognisability
from unshaken.measure.image_quality import psnr, ssim
from unshaken.measure.object_detection.average_precision import average_precision
from unshaken.measure.object_detection.matching import Detections, Objects
from unshaken.measure.robustness.accuracy import (
    WorstCase,
    accuracy,
    accuracy_by_class,
    predict_within,
    robust_accuracy,
    worst_case,
)
from unshaken.measure.robustness.corruption import BENCHMARK, CorruptionError, corruption_error
from unshaken.measure.robustness.effective_robustness import (
    EffectiveRobustness,
    RobustnessLine,
    effective_robustness,
    fit_line,
)
from unshaken.measure.robustness.fairness import Disparity, disparity, gap_change, signed_gap
from unshaken.measure.robustness.fmr import fmr, fmr_difference
from unshaken.measure.robustness.minimal_norm import minimal_norm, success_curve
from unshaken.measure.scaling import crossing, crossing_figure, exponent_figure, fit_power_law
from unshaken.measure.segmentation import dice, iou
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, share
from unshaken.measure.statistics.join import match
from unshaken.measure.statistics.means import over_seeds
from unshaken.measure.statistics.paired import (
    Comparison,
    compare,
    compare_by_id,
    holm,
    paired_difference,
    simultaneous,
)
from unshaken.measure.statistics.ranks import rank_bounds

__all__ = [
    "BENCHMARK",
    "CalibrationError",
    "Comparison",
    "CorruptionError",
    "Detection",
    "Detections",
    "Disparity",
    "Drift",
    "EffectiveRobustness",
    "Figure",
    "Objects",
    "RobustnessLine",
    "Temperature",
    "Threshold",
    "WorstCase",
    "accuracy",
    "accuracy_at_coverage",
    "accuracy_by_class",
    "aupr",
    "aurc",
    "auroc",
    "average_precision",
    "brier",
    "calibration_error",
    "clopper_pearson",
    "compare",
    "compare_auroc",
    "compare_by_id",
    "conformal_p_values",
    "conformal_threshold",
    "corruption_error",
    "crossing",
    "crossing_figure",
    "detection_accuracy",
    "dice",
    "disparity",
    "diversity",
    "effective_robustness",
    "excess_aurc",
    "expected_kl",
    "exponent_figure",
    "find_leakage",
    "fit_line",
    "fit_power_law",
    "fit_temperature",
    "fit_vector_scaling",
    "fmr",
    "fmr_difference",
    "fpr95_id_accept",
    "fpr95_ood_recall",
    "frechet_at_infinity",
    "frechet_distance",
    "gap_change",
    "holm",
    "iou",
    "kernel_distance",
    "match",
    "minimal_norm",
    "nll",
    "over_seeds",
    "paired_bootstrap",
    "paired_difference",
    "precision_recall",
    "predict_within",
    "psnr",
    "rank_bounds",
    "recognisability",
    "risk_coverage",
    "robust_accuracy",
    "share",
    "signed_gap",
    "simultaneous",
    "softmax",
    "ssim",
    "success_curve",
    "top_label",
    "wasserstein_bound",
    "worst_case",
]

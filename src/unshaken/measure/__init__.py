"""Figures with intervals, from columns of rows: numpy and scipy alone, no model and no run directory."""

from unshaken.measure.calibration.calibration import CalibrationError, ReliabilityBin, calibration_error
from unshaken.measure.calibration.proper_scores import brier, nll, softmax, top_label
from unshaken.measure.calibration.temperature import (
    Temperature,
    VectorScaling,
    expected_kl,
    fit_temperature,
    fit_vector_scaling,
)
from unshaken.measure.classification.class_mask import masked_labels, predict_within
from unshaken.measure.detection.conformal import Threshold, calibration_needed, conformal_p_values, conformal_threshold
from unshaken.measure.detection.detection import (
    Aupr,
    Detection,
    aupr,
    detection_accuracy,
    fpr95_id_accept,
    fpr95_ood_recall,
    paired_bootstrap,
)
from unshaken.measure.detection.drift import Drift, Window
from unshaken.measure.detection.ranking import AurocComparison, Roc, RocBand, auroc, compare_auroc, roc, roc_band
from unshaken.measure.detection.selective import RiskCoverage, accuracy_at_coverage, aurc, excess_aurc, risk_coverage
from unshaken.measure.detection.wasserstein_bound import WassersteinBound, wasserstein_bound
from unshaken.measure.generation.frechet import frechet_at_infinity, frechet_distance
from unshaken.measure.generation.kernel_distance import kernel_distance, kernel_distance_by_parts
from unshaken.measure.generation.nearest import Leakage, find_leakage
from unshaken.measure.generation.precision_recall import PrecisionRecall, precision_recall
from unshaken.measure.generation.recognisability import ByClass, diversity, recognisability
from unshaken.measure.image_quality.fidelity import psnr, ssim
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.map_figures import (
    ShiftedMap,
    map_difference,
    map_figure,
    resampled_map,
    shifted_map,
)
from unshaken.measure.object_detection.matching import Detections, Objects, match_images
from unshaken.measure.robustness.accuracy import accuracy, accuracy_by_class, attack_success_rate, robust_accuracy
from unshaken.measure.robustness.alexnet import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, BENCHMARK, VALIDATION
from unshaken.measure.robustness.corruption import CorruptionError, corruption_error
from unshaken.measure.robustness.effective_robustness import (
    EffectiveRobustness,
    RobustnessLine,
    effective_robustness,
    fit_line,
    relative_robustness,
)
from unshaken.measure.robustness.fairness import Disparity, disparity, gap_change, signed_gap
from unshaken.measure.robustness.fmr import OracleRobustness, fmr, fmr_difference, fmr_ratio
from unshaken.measure.robustness.minimal_norm import MinimalNorm, SuccessCurve, minimal_norm, success_curve
from unshaken.measure.robustness.worst_case import WorstCase, worst_case
from unshaken.measure.scaling.power_law import PowerLaw, crossing, fit_power_law, local_slopes
from unshaken.measure.scaling.scaling_bootstrap import crossing_figure, exponent_difference, exponent_figure
from unshaken.measure.segmentation.overlap import dice, iou
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import clopper_pearson, share
from unshaken.measure.statistics.join import match
from unshaken.measure.statistics.paired import (
    Comparison,
    compare,
    compare_by_id,
    holm,
    holm_corrected,
    mcnemar,
    paired_difference,
)
from unshaken.measure.statistics.seeds import over_seeds
from unshaken.measure.statistics.stratified import stratified_share

__all__ = [
    "ALEXNET_CLEAN_ERROR",
    "ALEXNET_ERROR",
    "BENCHMARK",
    "VALIDATION",
    "Aupr",
    "AurocComparison",
    "ByClass",
    "CalibrationError",
    "Comparison",
    "CorruptionError",
    "Detection",
    "Detections",
    "Disparity",
    "Drift",
    "EffectiveRobustness",
    "Figure",
    "Leakage",
    "MinimalNorm",
    "Objects",
    "OracleRobustness",
    "PowerLaw",
    "PrecisionRecall",
    "ReliabilityBin",
    "RiskCoverage",
    "RobustnessLine",
    "Roc",
    "RocBand",
    "ShiftedMap",
    "SuccessCurve",
    "Temperature",
    "Threshold",
    "VectorScaling",
    "WassersteinBound",
    "Window",
    "WorstCase",
    "accuracy",
    "accuracy_at_coverage",
    "accuracy_by_class",
    "attack_success_rate",
    "aupr",
    "aurc",
    "auroc",
    "average_precision",
    "brier",
    "calibration_error",
    "calibration_needed",
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
    "exponent_difference",
    "exponent_figure",
    "find_leakage",
    "fit_line",
    "fit_power_law",
    "fit_temperature",
    "fit_vector_scaling",
    "fmr",
    "fmr_difference",
    "fmr_ratio",
    "fpr95_id_accept",
    "fpr95_ood_recall",
    "frechet_at_infinity",
    "frechet_distance",
    "gap_change",
    "holm",
    "holm_corrected",
    "iou",
    "kernel_distance",
    "kernel_distance_by_parts",
    "local_slopes",
    "map_difference",
    "map_figure",
    "masked_labels",
    "match",
    "match_images",
    "mcnemar",
    "mean_average_precision",
    "minimal_norm",
    "nll",
    "over_seeds",
    "paired_bootstrap",
    "paired_difference",
    "precision_recall",
    "predict_within",
    "psnr",
    "recognisability",
    "relative_robustness",
    "resampled_map",
    "risk_coverage",
    "robust_accuracy",
    "roc",
    "roc_band",
    "share",
    "shifted_map",
    "signed_gap",
    "softmax",
    "ssim",
    "stratified_share",
    "success_curve",
    "top_label",
    "wasserstein_bound",
    "worst_case",
]

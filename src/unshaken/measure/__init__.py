"""Figures with intervals, from columns of rows: numpy and scipy alone, no model and no run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.measure.calibration.calibration import (
        CalibrationError,
        brier,
        calibration_error,
        nll,
        softmax,
        top_label,
    )
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
    from unshaken.measure.prediction_sets import (
        box_margin,
        effective_samples,
        group_thresholds,
        missed_shares,
        own_scores,
        risk_threshold,
        set_figures,
        set_scores,
        weighted_thresholds,
    )
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
    from unshaken.measure.robustness.minimal_norm import local_optimality, minimal_norm, success_curve
    from unshaken.measure.scaling import crossing, crossing_figure, exponent_figure, fit_power_law
    from unshaken.measure.segmentation import dice, iou
    from unshaken.measure.statistics.influence import auroc_influence, influence
    from unshaken.measure.statistics.intervals import Figure, clopper_pearson, share
    from unshaken.measure.statistics.join import match
    from unshaken.measure.statistics.means import over_seeds, over_seeds_and_samples
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
    "auroc_influence",
    "average_precision",
    "box_margin",
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
    "effective_samples",
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
    "group_thresholds",
    "holm",
    "influence",
    "iou",
    "kernel_distance",
    "local_optimality",
    "match",
    "minimal_norm",
    "missed_shares",
    "nll",
    "over_seeds",
    "over_seeds_and_samples",
    "own_scores",
    "paired_bootstrap",
    "paired_difference",
    "precision_recall",
    "predict_within",
    "psnr",
    "rank_bounds",
    "recognisability",
    "risk_coverage",
    "risk_threshold",
    "robust_accuracy",
    "set_figures",
    "set_scores",
    "share",
    "signed_gap",
    "simultaneous",
    "softmax",
    "ssim",
    "success_curve",
    "top_label",
    "wasserstein_bound",
    "weighted_thresholds",
    "worst_case",
]

_HOMES = {
    "BENCHMARK": "unshaken.measure.robustness.corruption",
    "CalibrationError": "unshaken.measure.calibration.calibration",
    "Comparison": "unshaken.measure.statistics.paired",
    "CorruptionError": "unshaken.measure.robustness.corruption",
    "Detection": "unshaken.measure.detection.detection",
    "Detections": "unshaken.measure.object_detection.matching",
    "Disparity": "unshaken.measure.robustness.fairness",
    "Drift": "unshaken.measure.detection.drift",
    "EffectiveRobustness": "unshaken.measure.robustness.effective_robustness",
    "Figure": "unshaken.measure.statistics.intervals",
    "Objects": "unshaken.measure.object_detection.matching",
    "RobustnessLine": "unshaken.measure.robustness.effective_robustness",
    "Temperature": "unshaken.measure.calibration.temperature",
    "Threshold": "unshaken.measure.detection.conformal",
    "WorstCase": "unshaken.measure.robustness.accuracy",
    "accuracy": "unshaken.measure.robustness.accuracy",
    "accuracy_at_coverage": "unshaken.measure.detection.selective",
    "accuracy_by_class": "unshaken.measure.robustness.accuracy",
    "aupr": "unshaken.measure.detection.detection",
    "aurc": "unshaken.measure.detection.selective",
    "auroc": "unshaken.measure.detection.ranking",
    "auroc_influence": "unshaken.measure.statistics.influence",
    "average_precision": "unshaken.measure.object_detection.average_precision",
    "box_margin": "unshaken.measure.prediction_sets",
    "brier": "unshaken.measure.calibration.calibration",
    "calibration_error": "unshaken.measure.calibration.calibration",
    "clopper_pearson": "unshaken.measure.statistics.intervals",
    "compare": "unshaken.measure.statistics.paired",
    "compare_auroc": "unshaken.measure.detection.ranking",
    "compare_by_id": "unshaken.measure.statistics.paired",
    "conformal_p_values": "unshaken.measure.detection.conformal",
    "conformal_threshold": "unshaken.measure.detection.conformal",
    "corruption_error": "unshaken.measure.robustness.corruption",
    "crossing": "unshaken.measure.scaling",
    "crossing_figure": "unshaken.measure.scaling",
    "detection_accuracy": "unshaken.measure.detection.detection",
    "dice": "unshaken.measure.segmentation",
    "disparity": "unshaken.measure.robustness.fairness",
    "diversity": "unshaken.measure.generation.recognisability",
    "effective_robustness": "unshaken.measure.robustness.effective_robustness",
    "effective_samples": "unshaken.measure.prediction_sets",
    "excess_aurc": "unshaken.measure.detection.selective",
    "expected_kl": "unshaken.measure.calibration.temperature",
    "exponent_figure": "unshaken.measure.scaling",
    "find_leakage": "unshaken.measure.generation.nearest",
    "fit_line": "unshaken.measure.robustness.effective_robustness",
    "fit_power_law": "unshaken.measure.scaling",
    "fit_temperature": "unshaken.measure.calibration.temperature",
    "fit_vector_scaling": "unshaken.measure.calibration.temperature",
    "fmr": "unshaken.measure.robustness.fmr",
    "fmr_difference": "unshaken.measure.robustness.fmr",
    "fpr95_id_accept": "unshaken.measure.detection.detection",
    "fpr95_ood_recall": "unshaken.measure.detection.detection",
    "frechet_at_infinity": "unshaken.measure.generation.distances",
    "frechet_distance": "unshaken.measure.generation.distances",
    "gap_change": "unshaken.measure.robustness.fairness",
    "group_thresholds": "unshaken.measure.prediction_sets",
    "holm": "unshaken.measure.statistics.paired",
    "influence": "unshaken.measure.statistics.influence",
    "iou": "unshaken.measure.segmentation",
    "kernel_distance": "unshaken.measure.generation.distances",
    "local_optimality": "unshaken.measure.robustness.minimal_norm",
    "match": "unshaken.measure.statistics.join",
    "minimal_norm": "unshaken.measure.robustness.minimal_norm",
    "missed_shares": "unshaken.measure.prediction_sets",
    "nll": "unshaken.measure.calibration.calibration",
    "over_seeds": "unshaken.measure.statistics.means",
    "over_seeds_and_samples": "unshaken.measure.statistics.means",
    "own_scores": "unshaken.measure.prediction_sets",
    "paired_bootstrap": "unshaken.measure.detection.detection",
    "paired_difference": "unshaken.measure.statistics.paired",
    "precision_recall": "unshaken.measure.generation.nearest",
    "predict_within": "unshaken.measure.robustness.accuracy",
    "psnr": "unshaken.measure.image_quality",
    "rank_bounds": "unshaken.measure.statistics.ranks",
    "recognisability": "unshaken.measure.generation.recognisability",
    "risk_coverage": "unshaken.measure.detection.selective",
    "risk_threshold": "unshaken.measure.prediction_sets",
    "robust_accuracy": "unshaken.measure.robustness.accuracy",
    "set_figures": "unshaken.measure.prediction_sets",
    "set_scores": "unshaken.measure.prediction_sets",
    "share": "unshaken.measure.statistics.intervals",
    "signed_gap": "unshaken.measure.robustness.fairness",
    "simultaneous": "unshaken.measure.statistics.paired",
    "softmax": "unshaken.measure.calibration.calibration",
    "ssim": "unshaken.measure.image_quality",
    "success_curve": "unshaken.measure.robustness.minimal_norm",
    "top_label": "unshaken.measure.calibration.calibration",
    "wasserstein_bound": "unshaken.measure.detection.wasserstein_bound",
    "weighted_thresholds": "unshaken.measure.prediction_sets",
    "worst_case": "unshaken.measure.robustness.accuracy",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)

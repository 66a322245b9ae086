"""Frozen features for other tasks: linear classifiers and retrieval on what a trained network puts out."""

from unshaken.explain.engine.layer_features import layer_features
from unshaken.tasks.features.linear_svm import LinearSVM, choose_c, fit_svm
from unshaken.tasks.features.probes import Probe, choose_probe_c, fit_knn_probe, fit_linear_probe, frozen_features
from unshaken.tasks.features.retrieval import (
    find_copies,
    locate,
    make_copies,
    predict_places,
    retrieve,
    spatial_distances,
    spatial_patches,
)
from unshaken.tasks.features.transforms import Whitening, fit_whitening, signed_power, unit
from unshaken.tasks.features.views import augmented_features, sixteen_views

__all__ = [
    "LinearSVM",
    "Probe",
    "Whitening",
    "augmented_features",
    "choose_c",
    "choose_probe_c",
    "find_copies",
    "fit_knn_probe",
    "fit_linear_probe",
    "fit_svm",
    "fit_whitening",
    "frozen_features",
    "layer_features",
    "locate",
    "make_copies",
    "predict_places",
    "retrieve",
    "signed_power",
    "sixteen_views",
    "spatial_distances",
    "spatial_patches",
    "unit",
]

"""Frozen features for other tasks: linear classifiers and retrieval on what a trained network puts out."""

from unshaken.run.layer_features import layer_features
from unshaken.tasks.features.linear_svm import LinearSVM, choose_c, fit_svm
from unshaken.tasks.features.spatial_search import retrieve, spatial_distances, spatial_patches
from unshaken.tasks.features.transforms import Whitening, fit_whitening, signed_power, unit
from unshaken.tasks.features.views import augmented_features, sixteen_views

__all__ = [
    "LinearSVM",
    "Whitening",
    "augmented_features",
    "choose_c",
    "fit_svm",
    "fit_whitening",
    "layer_features",
    "retrieve",
    "signed_power",
    "sixteen_views",
    "spatial_distances",
    "spatial_patches",
    "unit",
]

"""Frozen features for other tasks: linear classifiers and retrieval on what a trained network puts out."""

from unshaken.explain.engine.layer_features import layer_features as layer_features
from unshaken.tasks.features.linear_svm import LinearSVM as LinearSVM
from unshaken.tasks.features.linear_svm import choose_c as choose_c
from unshaken.tasks.features.linear_svm import fit_svm as fit_svm
from unshaken.tasks.features.probes import Probe as Probe
from unshaken.tasks.features.probes import choose_probe_c as choose_probe_c
from unshaken.tasks.features.probes import fit_knn_probe as fit_knn_probe
from unshaken.tasks.features.probes import fit_linear_probe as fit_linear_probe
from unshaken.tasks.features.probes import frozen_features as frozen_features
from unshaken.tasks.features.retrieval import find_copies as find_copies
from unshaken.tasks.features.retrieval import locate as locate
from unshaken.tasks.features.retrieval import make_copies as make_copies
from unshaken.tasks.features.retrieval import predict_places as predict_places
from unshaken.tasks.features.retrieval import retrieve as retrieve
from unshaken.tasks.features.retrieval import spatial_distances as spatial_distances
from unshaken.tasks.features.retrieval import spatial_patches as spatial_patches
from unshaken.tasks.features.transforms import Whitening as Whitening
from unshaken.tasks.features.transforms import fit_whitening as fit_whitening
from unshaken.tasks.features.transforms import signed_power as signed_power
from unshaken.tasks.features.transforms import unit as unit
from unshaken.tasks.features.views import augmented_features as augmented_features
from unshaken.tasks.features.views import sixteen_views as sixteen_views

"""Frozen features for other tasks: linear classifiers and retrieval on what a trained network puts out."""

from unshaken.core.package import open_package

open_package(__name__)

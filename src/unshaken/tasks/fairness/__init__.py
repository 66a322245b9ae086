"""Fairness indicators of any model over a user's groups of images."""

from unshaken.core.package import open_package

open_package(__name__)

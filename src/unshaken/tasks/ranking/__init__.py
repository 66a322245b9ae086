"""Rankers of texts and images: five tasks of robustness, by queries and documents that change."""

from unshaken.core.package import open_package

open_package(__name__)

"""Classifiers of images with texts: what added texts, corrupted images and both together cost them."""

from unshaken.core.package import open_package

open_package(__name__)

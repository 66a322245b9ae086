"""Models: one SPEC string names any of them, and each becomes a `Classifier` from images in [0, 1] to logits."""

from unshaken.core.package import open_package

open_package(__name__)

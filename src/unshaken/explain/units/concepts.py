"""Concept sets by name, as parameters give them."""

from __future__ import annotations

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.explain.units.concept_folder import ConceptFolder
from unshaken.explain.units.concept_set import ConceptSet
from unshaken.explain.units.made_concepts import made_concepts

MADE = "made"
SIDE = 32
"""Side of made images for a model that takes any size."""


def open_concepts(name: str, model: Classifier, *, images: int, seed: int) -> ConceptSet:
    """A concept set.

    Args:
        name: `made`, or a folder; see `concept_folder`.
        model: that will look at the images: made ones have its size and its channels.
        images: number of made images.
        seed: of made images.

    Raises:
        DataError: the folder is not as it should be.
    """
    if name != MADE:
        return ConceptFolder(name)
    side = SIDE if model.view is None else min(model.view.height, model.view.width)
    return made_concepts(images, side - side % 2, _channels(model), seed)


def _channels(model: Classifier) -> int:
    """Channels of the images that a model takes: as its view says, else its first convolution."""
    if model.view is not None:
        return model.view.channels
    return next((m.in_channels for m in model.net.modules() if isinstance(m, nn.Conv2d)), 3)

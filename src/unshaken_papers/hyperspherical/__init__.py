"""`hyperspherical`: classes that training never saw are added as mean directions of their examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row
from unshaken.papers.effects import negated

SMALL = "embedding-cnn"
NORMALISED, PLAIN, TRIPLET = "nsl", "softmax", "triplet"
ARMS: Mapping[str, str] = {NORMALISED: "normalised-softmax:scale={scale}", PLAIN: "", TRIPLET: "triplet"}
"""Arm to the recipe of its training; plain softmax has none."""
MEANS = "nsl-means"
"""The same networks as `nsl`, whose old classes are mean directions as well, not trained ones."""
ALL = 0
"""Stands for all examples of a new class, where a number of examples is meant."""
SHOTS = (1, 5, ALL)
ERRORS = 2
"""Standard errors by which the arms must be apart."""
DROP = 0.08
"""Largest loss of accuracy on the classes of training."""


@row(__file__)
class HypersphericalPaper(Paper):
    """Does the normalised softmax loss give features to which classes can be added without training?

    Networks are trained on some classes of Fashion-MNIST by the normalised softmax loss, by plain softmax and by
    triplets. The other classes are added as mean directions of 1, 5 or all of their training images, and compete among
    themselves (disjoint) or with the classes of training (joint).
    """

    images: PositiveInt = Field(description="training images of all classes; those of new ones serve as examples")
    test: PositiveInt = Field(description="test images of all classes")
    novel: PositiveInt = Field(description="classes that training does not see, in each split")
    splits: PositiveInt = Field(description="ways to choose the new classes")
    seeds: PositiveInt = Field(description="trainings of each split and loss")
    epochs: PositiveInt = Field(description="of each training")
    scale: float = Field(description="s of the normalised softmax loss", gt=0)
    draws: PositiveInt = Field(description="draws of one and of five examples")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        kept = negated(measured["drop"])
        words = "change of accuracy on old classes"
        return [*super().judge(measured), decide("old-kept", words, kept, above=-DROP, opposed_below=-DROP)]

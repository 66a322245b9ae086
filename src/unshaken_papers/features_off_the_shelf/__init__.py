"""`features-off-the-shelf`: what a pretrained network puts out, and a linear classifier, beat features made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row

CNN, RANDOM, PIXELS, HOG = "cnn", "random", "pixels", "hog"
PLAIN, AUGMENTED = "plain", "augmented"
"""Arms of the images that have several views: one view each, or four."""
SOURCE, FAR = "source", "far"
LAYERS = 4
"""Layers of the sweep; then what goes into the last one."""
BELOW = 0.05
"""How far augmented features may be below those of one view."""


@row(__file__)
class FeaturesOffTheShelfPaper(Paper):
    """Do frozen features with a linear SVM beat features made by hand, near the source task and further away?

    Unit vectors of what goes into the last layer of a network trained on ImageNet, against pixels, HOG and the same
    network with random weights, on CIFAR-10 and Fashion-MNIST; several views; and a sweep over layers.
    """

    far: str = Field(description="SPEC of the task further away, with the splits train and test")
    images: PositiveInt = Field(description="training images of each task, of which each seed draws")
    train: PositiveInt = Field(description="training images that a seed draws")
    test: PositiveInt = Field(description="test images of each task")
    views: PositiveInt = Field(description="training images, and test images at most, of which views are made")
    seeds: PositiveInt = Field(description="draws of training images")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._seed)

    def _seed(self, part: Mapping[str, Any]) -> list[Check]:
        over = part["over"]
        hand = [
            decide(name, f"accuracy, frozen features minus {arm}, {task}", over[task][arm])
            for name, task in (("near", SOURCE), ("far", FAR))
            for arm in (HOG, PIXELS)
        ]
        return [
            *hand,
            decide(
                "augmented", "accuracy, four views minus one", over["augmented"], above=-BELOW, opposed_below=-BELOW
            ),
            decide("learned", "accuracy, frozen features minus random weights", over[SOURCE][RANDOM]),
            decide("depth", "accuracy, last layer minus the one at half of the depth", over["depth"]),
        ]

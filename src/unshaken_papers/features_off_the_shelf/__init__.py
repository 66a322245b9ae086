"""`features-off-the-shelf`: what a pretrained network puts out, and a linear classifier, beat features made by hand."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

CNN, RANDOM, PIXELS, HOG = "cnn", "random", "pixels", "hog"
PLAIN, AUGMENTED = "plain", "augmented"
"""Arms of the images that have several views: one view each, or four."""
SOURCE, FAR = "source", "far"
LAYERS = 4
"""Layers of the sweep; then what goes into the last one."""
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
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.far]

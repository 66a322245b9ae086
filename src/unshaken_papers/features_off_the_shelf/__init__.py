"""`features-off-the-shelf`: what a pretrained network puts out, and a linear classifier, beat features made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed

CNN, RANDOM, PIXELS, HOG = "cnn", "random", "pixels", "hog"
PLAIN, AUGMENTED = "plain", "augmented"
"""Arms of the images that have several views: one view each, or four."""
SOURCE, FAR = "source", "far"
LAYERS = 4
"""Layers of the sweep; then what goes into the last one."""
BELOW = 0.05
"""How far augmented features may be below those of one view."""


@register("features-off-the-shelf", reference="Razavian et al. 2014, arXiv:1403.6382")
class FeaturesOffTheShelfPaper(Paper):
    """Do frozen features with a linear SVM beat features made by hand, near the source task and further away?

    Unit vectors of what goes into the last layer of a network trained on ImageNet, against pixels, HOG and the same
    network with random weights, on CIFAR-10 and Fashion-MNIST; several views; and a sweep over layers.
    """

    title: ClassVar[str] = "CNN Features off-the-shelf: an Astounding Baseline for Recognition"
    claim: ClassVar[str] = (
        "Activations of one layer of a network trained on ImageNet, brought to unit length, with a linear SVM match or "
        "beat specialised systems on tasks that drift away from the training task."
    )
    summary: ClassVar[str] = "Frozen features with a linear SVM beat features made by hand, also far from the source."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "near": ClaimPart(
            statement="They beat features made by hand on photos like those of the source task.",
            rule="Shown if on CIFAR-10 the accuracy exceeds that of HOG and that of pixels, paired by image, by the "
            "95 % interval in every seed; contradicted if it is below one of them.",
        ),
        "far": ClaimPart(
            statement="They do so on a task further away.",
            rule="Shown if the same holds on Fashion-MNIST; contradicted likewise.",
        ),
        "augmented": ClaimPart(
            statement="Several views of each image, summed at test, are at least as good as one.",
            rule=f"Shown if the accuracy with four views is less than {BELOW} below that with one, on the same images, "
            "by the interval in every seed; contradicted if it is further below.",
        ),
        "learned": ClaimPart(
            statement="It is what the network learned: random weights are far behind.",
            rule="Shown if the accuracy exceeds that of the same network with random weights on CIFAR-10, as above.",
            central=False,
        ),
        "depth": ClaimPart(
            statement="Accuracy rises with depth.",
            rule="Shown if the last layer's accuracy exceeds that of the layer at half of the depth on CIFAR-10, as "
            "above.",
            central=False,
        ),
        "retrieval": ClaimPart(
            statement="Distances of these features, with spatial search, retrieve images better than codebooks do.",
            untried="parts of a thousand photos are 30,000 passes; the search itself is there to use.",
            central=False,
        ),
        "specialists": ClaimPart(
            statement="They beat specialised systems on scenes, birds, flowers and attributes.",
            untried="needs those data sets.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "VOC 2007 mAP 73.9 (77.2 with 16 views; 71.1 the best without a network), MIT indoor scenes 58.4 "
        "(69.0; 64.0)",
        "estimate": "HOG more than .20 behind on CIFAR-10, pixels more than .35",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.source.cnn": ("CIFAR-10, frozen features", "accuracy"),
        "seed*.source.hog": ("CIFAR-10, HOG", "accuracy"),
        "seed*.source.pixels": ("CIFAR-10, pixels", "accuracy"),
        "seed*.source.random": ("CIFAR-10, random weights", "accuracy"),
        "seed*.far.cnn": ("Fashion-MNIST, frozen features", "accuracy"),
        "seed*.far.hog": ("Fashion-MNIST, HOG", "accuracy"),
        "seed*.far.pixels": ("Fashion-MNIST, pixels", "accuracy"),
        "seed*.over.augmented": ("Four views minus one", "accuracy"),
        "seed*.over.depth": ("Last layer minus the layer at half of the depth", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "EfficientNet-Lite0 in the place of OverFeat; images of 32 and 28 pixels enlarged to 224.",
        "The hinge is squared, which the solver of many samples needs.",
        "Fifty training images a class, drawn anew in each seed; the test images are the same.",
        "Four of the sixteen views: the image, its centre, and the mirror images of both. Tried, on one draw: the same "
        "without the signed power, the image and its mirror image alone, and six views; none was above one view.",
        "The networks of the source task learned photos of the classes of CIFAR-10.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "imagenet:efficientnet-lite0"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"tests": {"correct": "bool", "c": "double", "depth": "double"}}
    full: ClassVar[Mapping[str, Any]] = {"images": 3000, "train": 2000, "test": 1000, "views": 500}

    far: str = Field("fashion-mnist", description="SPEC of the task further away, with the splits train and test")
    images: PositiveInt = Field(600, description="training images of each task, of which each seed draws")
    train: PositiveInt = Field(500, description="training images that a seed draws")
    test: PositiveInt = Field(300, description="test images of each task")
    views: PositiveInt = Field(150, description="training images, and test images at most, of which views are made")
    seeds: PositiveInt = Field(3, description="draws of training images")

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

"""`mahalanobis`: class-conditional Gaussians of a network's features tell normal images from all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row
from unshaken_papers.mahalanobis.rules import NAMES, OTHER, judge_distances


@row(__file__)
class MahalanobisPaper(Paper):
    """Do Gaussians of a network's features detect what is out of distribution, adversarial, and under label noise?

    Small networks that never see two classes of their data: those two, data of another kind, noise, and adversarial
    examples, by the softmax, by single layers, and by ensembles whose weights are equal, or learned from FGSM together
    with a step of the input. Then the same networks get to know the two classes from a few images, without training.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    train: PositiveInt = Field(description="training images, of which those of two classes are left out")
    epochs: PositiveInt = Field(description="of training")
    images: PositiveInt = Field(description="images of each test set", ge=8)
    attacked: PositiveInt = Field(description="of the normal ones also attacked", ge=8)
    tune: PositiveInt = Field(description="of each set, the first, on which weights and step are chosen")
    steps: tuple[PositiveFloat, ...] = Field(
        description="input steps to choose from beside none, in [0, 1] pixel units; as text 0.001+0.01"
    )
    shots: PositiveInt = Field(description="images by which each class is added")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge_distances(measured)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        found = measured["adversarial"]
        softmax = ", ".join(f"{NAMES[name]} {found[name]['msp']['auroc']['value']:.3f}" for name in OTHER)
        counted = ", ".join(f"{NAMES[name]} {measured['examples'][name]}" for name in found)
        return f"AUROC of the softmax on attacks that end at the boundary: {softmax}. Examples that count: {counted}."

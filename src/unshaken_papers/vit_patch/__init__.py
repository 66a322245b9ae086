"""`vit-patch`: patch perturbations of vision transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row
from unshaken_papers.vit_patch.rules import judge

SMALL = "small-vit|small-cnn"
TEMPERATURES = (1.25, 1.5, 2.0, 3.0)
ADVERSARIAL = (1, 2, 4)
"""Cells that an attack is free to change."""
CELLS = (8, 24, 40, 64)
"""Sixty-fourths of all cells."""
STATES = ("clean", "noise", "patch")
FOOLS: Mapping[str, Mapping[str, Any]] = {
    "random": {"choose": "random"},
    "saliency": {},
    "sparse": {"pixels": 0.5},
    "linf": {"linf": 0.25},
    "l2": {"l2": 1.0},
    "attended": {"choose": "attention"},
    "drawn": {"choose": "attention", "attention": 0.002},
}
"""Variants of Patch-Fool in one cell; of `pixels` the share of the cell's."""
OF_ATTENTION = ("attended", "drawn")
"""Those that need a transformer."""


@row(__file__)
class VitPatchPaper(Paper):
    """Do single corrupted patches harm transformers less, and adversarial ones more, than convolutional networks?

    A small ViT and a small CNN of about its accuracy, trained here on CIFAR-10. Attacked are images that both get
    right. With a model of one's own, given as `VIT|CNN`, two trained networks are compared instead.
    """

    train: PositiveInt = Field(description="training images, a stratified subset")
    photos: PositiveInt = Field(description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(description="images that both networks get right, at most")
    epochs: PositiveInt = Field(description="epochs of each network's training")
    seeds: PositiveInt = Field(description="seeds of training")
    steps: PositiveInt = Field(description="steps of the attack from each start")
    starts: PositiveInt = Field(description="random starts of the attack")
    step_size: PositiveFloat = Field(description="step of the attack, in units of the pixel range")
    scanned: PositiveInt = Field(description="images that are attacked in many places, at most")
    places: PositiveInt = Field(description="random cells in which each of them is attacked")
    scan_steps: PositiveInt = Field(description="steps of each of these attacks")
    fool_steps: PositiveInt = Field(description="steps of Patch-Fool")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge(measured["over_seeds"], measured["over_seeds"]["temperature"])

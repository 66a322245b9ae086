"""`explainability`: which networks have maps that find the object, and what insertion and deletion follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

RECIPES: Mapping[str, tuple[str, ...]] = {
    "standard": (),
    "robust": ("at:norm=linf,eps=16/255,steps=2,rel_stepsize=0.6",),
    "advprop": ("advprop:eps=8/255,steps=1",),
}
"""The three algorithms of training."""
WIDTHS: Mapping[str, tuple[int, ...]] = {"": (16, 32, 32, 64), "-half": (8, 16, 16, 32)}
"""End of a network's name to the channels of its blocks."""
NETS = tuple(f"{recipe}{width}" for width in WIDTHS for recipe in RECIPES)
FULL = tuple(RECIPES)
"""Networks on which all methods are compared."""
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "gradient": ("gradient", "input-x-gradient", "integrated-gradients:steps=10", "gradient-shap:samples=10"),
    "cam": ("cam", "gradcam"),
    "perturbation": (
        "occlusion:patch=0.3,stride=8", "rise:samples=200,cells=4", "lime:segmentation=grid,segments=16,samples=100",
    ),
}  # fmt: skip
METHODS = tuple(method for family in FAMILIES.values() for method in family)
BEST = ("gradcam", "rise")
CONTROLS = ("random-map", "edge-detector", "centre-point")
CORRUPTIONS: Mapping[str, int] = {"gaussian_noise": 3, "defocus_blur": 3, "contrast": 1}
"""Corruption to its severity."""


def name_of(method: str) -> str:
    """A method without its parameters."""
    return method.partition(":")[0]


@row(__file__)
class ExplainabilityPaper(Paper):
    """Are robust networks explained better, and do insertion and deletion measure maps or confidence?

    Standard, adversarial and AdvProp training of a small network in two widths; nine attribution methods in the grid
    game and on pasted images; insertion and deletion beside the networks' confidence.
    """

    images: PositiveInt = Field(description="training images")
    epochs: PositiveInt = Field(description="epochs of each training")
    tested: PositiveInt = Field(description="test images")
    mosaics: PositiveInt = Field(description="mosaics at most")
    pasted: PositiveInt = Field(description="pasted images that are judged; as many others choose a threshold")
    removed: PositiveInt = Field(description="images for insertion and deletion")
    seeds: int = Field(ge=2, description="networks of each kind")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        images, least = measured["chosen"]["images"], measured["chosen"]["least"]
        if least == 1:
            return f"{images} test images are classified rightly by all networks; maps are of these."
        return f"Too few images are classified rightly by all networks: maps are of those that {least:.0%} of them do."

"""`explainability`: which networks have maps that find the object, and what insertion and deletion follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

RECIPES: Mapping[str, tuple[str, ...]] = {
    "standard": (),
    "robust": ("at:norm=linf,eps=16/255,steps=2,step_size=0.6",),
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
NEAR = 0.02
"""Share of the map by which AdvProp's must exceed that of standard training to count as more explainable."""


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
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for family, effect in measured["gradient_gains_more_than"].items():
            words = f"gain of the gradient family by robust training, minus that of the {family} family"
            checks.append(decide("gradient-gain", words, effect))
        words = "share on the object, standard training minus AdvProp"
        checks.append(decide("advprop", words, measured["standard_minus_advprop"], above=-NEAR))
        for method, effect in measured["rank_margin"].items():
            words = f"mean rank of the third best of the other methods minus that of {method}"
            checks.append(decide("best-methods", words, effect))
        for name, effect in measured["confidence"].items():
            words = f"rank correlation of confidence and {name.replace('_', ' ')} over networks"
            checks.append(decide("confidence", words, effect))
        words = "how far the best network misses being best in all three"
        checks.append(decide("no-winner", words, measured["missed"]))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        images, least = measured["chosen"]["images"], measured["chosen"]["least"]
        if least == 1:
            return f"{images} test images are classified rightly by all networks; maps are of these."
        return f"Too few images are classified rightly by all networks: maps are of those that {least:.0%} of them do."

"""`explainability`: which networks have maps that find the object, and what insertion and deletion follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

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


@register("explainability", reference="Nourelahi et al. 2022, arXiv:2205.15926")
class ExplainabilityPaper(Paper):
    """Are robust networks explained better, and do insertion and deletion measure maps or confidence?

    Standard, adversarial and AdvProp training of a small network in two widths; nine attribution methods in the grid
    game and on pasted images; insertion and deletion beside the networks' confidence.
    """

    title: ClassVar[str] = "How Explainable Are Adversarially-Robust CNNs?"
    claim: ClassVar[str] = (
        "Adversarially trained networks have better maps from gradient-based methods alone; AdvProp's are no better "
        "than those of standard training; GradCAM and RISE are the best methods; insertion and deletion follow the "
        "model's confidence; no network wins accuracy, accuracy under corruption and explainability at once."
    )
    summary: ClassVar[str] = "Robust networks gain on gradient maps alone; insertion and deletion follow confidence."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "gradient-gain": ClaimPart(
            statement="Robust training improves gradient-based maps more than CAM-based and perturbation-based ones.",
            rule="In the grid game, the gain of robust over standard training in the share on the object is "
            "averaged over the methods of a family. Shown if the gain of the gradient family exceeds that of the CAM "
            "family and that of the perturbation family, by intervals over the mosaics; contradicted if it is lower.",
        ),
        "advprop": ClaimPart(
            statement="AdvProp's networks are not more explainable than those of standard training.",
            rule=f"Shown if the share, averaged over the nine methods, is less than {NEAR} above that of standard "
            "training, by the interval over the mosaics; contradicted if it is further above.",
            central=False,
        ),
        "best-methods": ClaimPart(
            statement="GradCAM and RISE are among the three best methods.",
            rule="Methods are ranked on every mosaic and network. Shown if the mean rank of each of the two is better "
            "than that of the third best of the other methods, by the bootstrap over mosaics; contradicted if worse.",
            central=False,
        ),
        "confidence": ClaimPart(
            statement="Insertion and deletion follow the model's confidence.",
            rule="Shown if, over the networks of all seeds, the rank correlation of mean confidence with the insertion "
            "area and with the deletion area is above 0, for GradCAM's maps and for constant maps alike, by the "
            "bootstrap over images; contradicted if one is below 0.",
        ),
        "no-winner": ClaimPart(
            statement="No network is best in accuracy, in accuracy under corruption and in explainability at once.",
            rule="For every network, the least of its margins over the best other one in the three. Shown if even the "
            "largest of these is below 0, by the interval over the seeds; contradicted if it is above.",
            central=False,
        ),
        "large-scale": ClaimPart(
            statement="It holds for five architectures on ImageNet.",
            untried="no robust networks for ImageNet can be had here; needs their weights and the boxes of ILSVRC.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "12 CNNs on ImageNet, nine methods: robust ones higher in localisation for gradient-based methods "
        "alone; GradCAM and RISE best",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain.gradient": ("Gain on the object by robust training, gradient family", "share"),
        "gain.cam": ("The same, CAM family", "share"),
        "gain.perturbation": ("The same, perturbation family", "share"),
        "advprop_minus_standard": ("AdvProp less standard training, mean of nine methods", "share"),
        "share.standard.gradcam": ("Share on the object, standard training, GradCAM", "share"),
        "share.standard.rise": ("The same, RISE", "share"),
        "share.standard.gradient": ("The same, gradient", "share"),
        "confidence.insertion": ("Rank correlation of confidence and insertion over networks", "correlation"),
        "confidence.deletion": ("The same, deletion", "correlation"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Networks of 33,000 parameters on Fashion-MNIST in two widths, not five architectures on ImageNet.",
        "Objects are known because images are put together: mosaics of four classes, and images pasted on noise.",
        "The share is of what exceeds a map's own mean, for the zero of RISE's maps means nothing.",
        "Meaningful perturbation is left out, and AdvProp takes one step of its attack.",
        "All images of maps are classified rightly by all networks, so that none is compared on easier ones.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "conv-33k"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "shares": {"value": "double"},
        "pasted": {"pointing": "double", "iou": "double", "threshold": "double"},
        "chosen": {"right": "double"},
        "curves": {"confidence": "double", "map": "string", "insertion": "double", "deletion": "double"},
    }
    full: ClassVar[Mapping[str, Any]] = {
        "images": 10_000, "epochs": 8, "tested": 2000, "mosaics": 120, "pasted": 60, "removed": 200,
    }  # fmt: skip

    images: PositiveInt = Field(4000, description="training images")
    epochs: PositiveInt = Field(5, description="epochs of each training")
    tested: PositiveInt = Field(500, description="test images")
    mosaics: PositiveInt = Field(40, description="mosaics at most")
    pasted: PositiveInt = Field(20, description="pasted images that are judged; as many others choose a threshold")
    removed: PositiveInt = Field(80, description="images for insertion and deletion")
    seeds: int = Field(3, ge=2, description="networks of each kind")

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

"""`generated-datasets`: images by a generator that has seen more styles make a classifier robust to renditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

REAL, MADE, BOTH, TWICE, AUGMENTED, PHOTOS = "real", "generated", "both", "twice", "augmented", "photos"
"""Trainings: real images; generated ones; both; real ones for as many updates; so with augmentation; both, but the
generator learned the real images alone."""
RENDITIONS, MILD = ("sketch", "inverted"), ("rotated", "blurred")
"""Shifts of the test images; the rule rests on the renditions, of which the generator has seen neither."""
GAIN, COST, FAR = 0.02, 0.03, 0.15


@register("generated-datasets", reference="Bansal & Grover 2023, arXiv:2302.02503")
class GeneratedDatasetsPaper(Paper):
    """Do generated images beside real ones help under shift, and is it because the generator has seen more?

    The generator is fitted to other images in several renditions, a stand-in for a text-to-image model; networks learn
    real, generated, or both, with as many updates of real images as control.
    """

    title: ClassVar[str] = "Leaving Reality to Imagination: Robust Classification via Generated Datasets"
    claim: ClassVar[str] = (
        "Classifiers that learn as many generated images beside the real ones are more robust to natural shifts, in "
        "accuracy and in effective robustness, at a small cost without it; generated images alone are far worse there."
    )
    summary: ClassVar[str] = "Generated images beside real ones make a classifier more robust to shifts."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "gain": ClaimPart(
            statement="Generated images beside real ones raise accuracy under renditions.",
            rule=f"Shown if the gain over as many updates of real images, mean of the renditions, is above {GAIN:.0%}, "
            "and above the gain of standard augmentation, by intervals over seeds; contradicted if one is below 0.",
        ),
        "prior": ClaimPart(
            statement="The cause is what the generator has seen, not more data.",
            rule="Shown if a generator that learned the real images alone gains less than half as much, by the "
            "interval over seeds; contradicted if it gains more.",
        ),
        "effective": ClaimPart(
            statement="Effective robustness rises.",
            rule="Shown if accuracy under renditions is above the line of networks that learned real images for other "
            "numbers of epochs, by the interval over seeds; contradicted if it is below.",
        ),
        "cost": ClaimPart(
            statement="The cost without shift is small.",
            rule=f"Shown if accuracy on clean images falls by less than {COST:.0%}, by the interval over seeds; "
            "contradicted if it falls by more.",
        ),
        "alone": ClaimPart(
            statement="Generated images alone are far worse without shift.",
            rule=f"Shown if clean accuracy is more than {FAR:.0%} below that of real images, by the interval over "
            "seeds; contradicted if it is higher.",
        ),
        "amount": ClaimPart(
            statement="How many generated images are added, and what the generator starts from, matter.",
            untried="one amount and one condition, the class, are tried; generate dataset makes the others.",
            central=False,
        ),
        "natural": ClaimPart(
            statement="So it is on ImageNet and its shifted sets, with Stable Diffusion.",
            untried="needs a text-to-image model and ImageNet; any folder of generated images can be mixed in by mix:.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ImageNet, real to real and generated: 74.3 to 73.0 %; Sketch 21.7 to 34.3, R 35.3 to 50.3, "
        "V2 61.9 to 61.0, ObjectNet 32.3 to 33.3 %; generated alone 30.1 % on ImageNet"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain": ("Gain under renditions over as many updates of real images", "accuracy"),
        "gain_of.photos": ("The same, generator of the real images alone", "accuracy"),
        "gain_of.augmented": ("The same, standard augmentation instead", "accuracy"),
        "effective": ("Effective robustness under renditions", "accuracy"),
        "clean": ("Change of accuracy without shift", "accuracy"),
        "seed*.real.clean": ("Real images, without shift", "accuracy"),
        "seed*.generated.clean": ("Generated images alone, without shift", "accuracy"),
        "seed*.both.sketch": ("Both, sketches", "accuracy"),
        "seed*.twice.sketch": ("Real images for as many updates, sketches", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Fashion-MNIST and a network of 19,000 parameters; shifts are made by code.",
        "The generator is a Gaussian in principal components of each class and style; it has seen further images in "
        "five renditions, the stand-in for what a text-to-image model has seen.",
        "Neither the operator of the sketches nor inversion is among its styles.",
        "The control learns real images for as many updates, which the publication does not have.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "strided-cnn"
    full: ClassVar[Mapping[str, Any]] = {"corpus": 20_000, "epochs": 12, "test": 10_000, "seeds": 5}

    images: PositiveInt = Field(3000, description="real training images")
    corpus: PositiveInt = Field(10000, description="further images, of which the generator sees renditions")
    components: PositiveInt = Field(40, description="principal components of a class in a style")
    epochs: int = Field(10, description="epochs of each training; both and its controls have as many updates", ge=2)
    test: PositiveInt = Field(2000, description="test images")
    seeds: PositiveInt = Field(3, description="seeds of sets, generators and trainings")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [
            decide("gain", "accuracy under renditions, over as many real updates", measured["gain"], above=GAIN),
            decide("gain", "that gain less the gain of augmentation", measured["less"]["augmented"]),
            decide("prior", "half that gain less that by a generator of the real images", measured["less"]["photos"]),
            decide("effective", "accuracy under renditions above the line", measured["effective"])
            if "effective" in measured
            else Check("no line goes through accuracies of 0, of 1 or all alike", False, "effective"),
            decide("cost", "change of clean accuracy", measured["clean"], above=-COST, opposed_below=-COST),
            decide("alone", "clean accuracy, real less generated alone", measured["alone"], above=FAR),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        return "The generator's broader corpus of renditions stands for the pre-training of a text-to-image model."

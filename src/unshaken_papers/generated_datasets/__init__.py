"""`generated-datasets`: images by a generator that has seen more styles make a classifier robust to renditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

REAL, MADE, BOTH, TWICE, AUGMENTED, PHOTOS = "real", "generated", "both", "twice", "augmented", "photos"
"""Trainings: real images; generated ones; both; real ones for as many updates; so with augmentation; both, but the
generator learned the real images alone."""
RENDITIONS, MILD = ("sketch", "inverted"), ("rotated", "blurred")
"""Shifts of the test images; the rule rests on the renditions, of which the generator has seen neither."""


@row(__file__)
class GeneratedDatasetsPaper(Paper):
    """Do generated images beside real ones help under shift, and is it because the generator has seen more?

    The generator is fitted to other images in several renditions, a stand-in for a text-to-image model; networks learn
    real, generated, or both, with as many updates of real images as control.
    """

    images: PositiveInt = Field(description="real training images")
    corpus: PositiveInt = Field(description="further images, of which the generator sees renditions")
    components: PositiveInt = Field(description="principal components of a class in a style")
    epochs: int = Field(description="epochs of each training; both and its controls have as many updates", ge=2)
    test: PositiveInt = Field(description="test images")
    seeds: PositiveInt = Field(description="seeds of sets, generators and trainings")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        words = "accuracy under renditions above the line"
        none = Check("no line goes through accuracies of 0, of 1 or all alike", False, "effective")
        line = measured.get("effective")
        return [*super().judge(measured), decide("effective", words, line) if line else none]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        return "The generator's broader corpus of renditions stands for the pre-training of a text-to-image model."

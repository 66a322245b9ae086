"""`viewpoint-adversarial-training`: the camera's place as the attack, and training on what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

SMALL = "conv-36k"
BASE, NATURAL, RANDOM, VIAT = "base", "natural", "random", "viat"
"""The network that all go on from, and the views that each of the three others learns from beside its pictures."""
ALONE, SINGLE = "viat-alone", "viat-single"
"""VIAT without sharing in a class, and with one Gaussian an object; with `variants`."""


@row(__file__)
class ViewpointPaper(Paper):
    """Do mixtures of viewpoints find where a network fails, and does training on them make it hold?

    A small network learns objects of eight classes from natural views, then goes on with more natural views, views from
    everywhere, or views that GMVFool finds. All are attacked anew on objects that none has seen.
    """

    photos: PositiveInt = Field(description="natural views of each training object")
    tested: PositiveInt = Field(description="test objects of each class")
    samples: PositiveInt = Field(description="views of each test object that are judged")
    epochs: PositiveInt = Field(description="epochs of each training")
    batch: PositiveInt = Field(description="pictures of a step, beside half as many rendered views")
    components: PositiveInt = Field(description="Gaussians of a mixture")
    pairs: PositiveInt = Field(description="antithetic pairs of an iteration of the attack; training has 15")
    iterations: PositiveInt = Field(description="iterations of the attack; training has 8, then 6 for an object")
    rate: PositiveFloat = Field(description="learning rate of the mixtures' means")
    every_attack: bool = Field(description="attack every network by ViewFool too, not the first and the last")
    variants: bool = Field(description="VIAT without sharing, and with one Gaussian, too")
    whole: bool = Field(description="train and attack in the published box, too")
    seeds: PositiveInt = Field(description="seeds of training")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        width = measured["entropy"]
        return f"Mixtures of the last attack on VIAT have an entropy of {width['value']:.2f} nats with the component."

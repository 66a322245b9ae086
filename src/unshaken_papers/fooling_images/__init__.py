"""`fooling-images`: networks are easily fooled, by ascent and by evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in

CERTAIN = 0.99
MEDIAN = 0.9
RECOVERED = 0.5
IMAGENET = "imagenet"
MADE = ("ascent-decay", "ascent-plain", "direct", "cppn")
"""How images are made: ascent with and without decay, evolution of pixels and of CPPNs."""
CONTROL = ("ascent-plain", "direct")
"""Those that are also made for an adversarially trained network."""


@row(__file__)
class FoolingImagesPaper(Paper):
    """Are images that mean nothing labelled with near-certainty, and does a class of their own mend that?

    Small networks on Fashion-MNIST; the publication's MNIST is `--data mnist`. With a model of one's own only ascent
    and evolution are run on it.
    """

    seeds: PositiveInt = Field(description="runs of the whole experiment, with networks of their own")
    train: PositiveInt = Field(description="training images, a stratified subset")
    test: PositiveInt = Field(description="test images")
    epochs: PositiveInt = Field(description="epochs of each network's training")
    smoothing: float = Field(ge=0, lt=1, description="of the labels in training; the publication has none")
    steps: PositiveInt = Field(description="of ascent")
    population: PositiveInt = Field(multiple_of=2, description="children a generation")
    direct_generations: PositiveInt = Field(description="of pixels")
    direct_enough: float | None = Field(
        default=None, gt=0, le=1, description="stop the evolution of pixels once every class has this confidence"
    )
    cppn_generations: PositiveInt = Field(description="of CPPNs")
    rounds: PositiveInt = Field(description="of retraining with a reject class")
    rejects: PositiveInt = Field(description="images that each round adds to the reject class")
    imagenet_classes: NonNegativeInt = Field(
        description="classes of the part on ImageNet; a median's interval takes six at least"
    )
    imagenet_steps: PositiveInt = Field(description="of its ascents")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._of_one_seed)

    def _of_one_seed(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for made, name in (("direct", "pixels"), ("cppn", "cppn")):
            part = measured[made]
            words = f"{part['above_99']} of {part['images']} classes reach {CERTAIN}"
            checks.append(Check(words, part["above_99"] >= part["images"] - 1, name))
        parts = {
            "direct": "pixels",
            "cppn": "cppn",
            "ascent-decay": "ascent",
            "ascent-plain": "ascent",
            IMAGENET: IMAGENET,
        }
        for made, name in parts.items():
            if made in measured:
                found = measured[made]["confidence"]
                checks.append(decide(name, f"{made}, median confidence", found, above=MEDIAN, opposed_below=RECOVERED))
        if "retrained" not in measured:
            return without_power(checks)
        for number in range(1, self.rounds + 1):
            part, net = measured["retrained"][str(number)], f"retrained network {number}"
            words = f"{net}: share of the images it learned to reject that it rejects"
            checks.append(decide("reject-class", words, part["pool_rejected"], above=0.5))
            words = f"{net}: median confidence of CPPNs evolved against it"
            found = part["confidence"]
            checks.append(decide("reject-class", words, found, above=RECOVERED, opposed_below=RECOVERED))
        for made in ("direct", "cppn"):
            words, found = f"{made}: share that fools both networks", measured["transfer"][made]["second"]["fool_both"]
            checks.append(decide("other-networks", words, found, above=0.5, opposed_below=0.5))
        return without_power(checks)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part for _, part in seeds_in(measured)]
        if not all("retrained" in part for part in seeds):
            return "With a model of one's own only ascent and evolution are run."
        missing = not all("imagenet" in part for part in seeds)
        return (
            "The part on ImageNet was not run: its packages are absent, or no class was asked for." if missing else ""
        )


def without_power(checks: Sequence[Check]) -> list[Check]:
    """Checks of confidences and shares near 1, whose intervals say nothing of the smallest effect."""
    return [replace(check, smallest=None) for check in checks]

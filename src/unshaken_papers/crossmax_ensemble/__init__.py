"""`crossmax-ensemble`: CrossMax, attacked carelessly and honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import values_of

FIVE = "five-cnns"
VOTES = ("mean", "crossmax", "median", "no-second")
EPS = {"8": 8 / 255, "25.5": 0.1}
"""Radii by their size in steps of 8-bit pixels."""
SYSTEM_EPS = 8 / 255


@row(__file__)
class CrossMaxPaper(Paper):
    """Is a vote by CrossMax more robust than the mean of the same networks, and does that hold under transfer?

    Five small networks on Fashion-MNIST, each with training images of its own; PGD on the mean and on CrossMax, each
    judged on the examples of both. Then the whole system on CIFAR-10: the multi-resolution input in front of a network
    whose layers vote. With networks of one's own, given as `A|B|C`, these vote instead, and there is no such system.
    """

    photos: PositiveInt = Field(description="test images, from the first")
    epochs: PositiveInt = Field(description="of each network's training")
    images: PositiveInt = Field(description="training images of each network")
    seeds: PositiveInt = Field(description="seeds of training")
    steps: PositiveInt = Field(description="of PGD, each a tenth of the radius")
    system_images: PositiveInt = Field(description="training images of the whole system")
    system_epochs: PositiveInt = Field(description="of its network; its heads have one")
    system_photos: PositiveInt = Field(description="test images that it is attacked on, others in each seed")
    system_steps: PositiveInt = Field(description="of each attack on it; PGD's are a tenth of the radius")
    draws: PositiveInt = Field(description="passes whose gradients each adaptive attack on it averages")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data] if own else [data, "cifar10"]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return super().judge(measured) + _system([part["system"] for _, part in seeds_in(measured) if "system" in part])

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        reach = [part["gradients"]["clean"] for _, part in seeds_in(measured)]
        counts = ", ".join(f"{r['logits_reached']['value']:.1f} of {r['of']}" for r in reach)
        return f"Logits that CrossMax passes a gradient to, on clean images: {counts}."


def _system(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """The checks of the whole system, which has test images of its own in each seed; none where it was not run."""
    if not seeds:
        return []

    of = partial(values_of, seeds)
    left, best, one, other = of("autoattack"), of("under", "adaptive"), "robust-classifier", "adaptive-system"
    half, words = left - of("clean") / 2, "accuracy under AutoAttack minus that under the best attack"
    return [
        decide(one, "the system under AutoAttack, beyond half of its clean accuracy", half, opposed_below=-1),
        decide(one, "the system under AutoAttack minus the plain network under APGD", left - of("plain", "attacked")),
        decide(other, f"half of the {words}", left / 2 - best, opposed_below=-1),
        decide(other, words, left - best),
    ]

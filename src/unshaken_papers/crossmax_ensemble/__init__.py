"""`crossmax-ensemble`: CrossMax, attacked carelessly and honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import scaled, unpaired, values_of

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
        return [
            check
            for name, part in seeds_in(measured)
            for label, eps in EPS.items()
            for check in _votes(f"{name}, eps {eps:.3f}", part[f"eps-{label}"], adaptive=eps == max(EPS.values()))
        ] + _system([part["system"] for _, part in seeds_in(measured) if "system" in part])

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        reach = [part["gradients"]["clean"] for _, part in seeds_in(measured)]
        counts = ", ".join(f"{r['logits_reached']['value']:.1f} of {r['of']}" for r in reach)
        return f"Logits that CrossMax passes a gradient to, on clean images: {counts}."


def _votes(where: str, at: Mapping[str, Any], *, adaptive: bool) -> list[Check]:
    """The checks of one seed and radius."""
    direct, kept, under = at["advantage_direct"], at["advantage_transfer"], at["crossmax_under"]
    alone, mean, bare = (at["direct"][vote] for vote in ("crossmax", "mean", "no-second"))
    words = f"{where}: CrossMax {alone['value']:.3f}, mean {mean['value']:.3f}, paired advantage"
    checks = [decide("direct-advantage", words, direct)]
    words = f"{where}: advantage of {kept['value']:+.3f} left, below half of {direct['value']:+.3f} by"
    checks.append(decide("masking", words, unpaired(scaled(direct, 0.5), kept)))
    words = f"{where}: CrossMax {alone['value']:.3f}, without the step {bare['value']:.3f}, more by"
    checks.append(decide("second-subtraction", words, at["second_subtraction"]))
    if adaptive:
        best = under["adaptive"]
        words = f"{where}: {best['value']:.3f} under the best attack, below half of {alone['value']:.3f} by"
        checks.append(decide("adaptive-attack", words, unpaired(scaled(alone, 0.5), best)))
    return checks


def _system(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """The checks of the whole system; none where it was not run."""
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

"""`tract`: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import across_seeds, values_of

CNN = "cnn"
VIT = "small-vit"
TRANSFORMER = "transformer"
"""Name of the small ViT among the figures."""
ADAM = "-adam"
"""What the name of a network ends with that is trained with Adam in the place of SGD."""
ARMS = ("plain", "tract")
NOISE_LOST = 0.02
"""Accuracy under noise that TrAct loses to the plain run before the remark gives the reason."""
Rates = tuple[PositiveFloat, ...]


@row(__file__)
class TrActPaper(Paper):
    """Does a first layer with the TrAct gradient learn in fewer epochs?

    A CNN of 38,000 parameters is trained with and without TrAct: the same weights at the start, the same batches, each
    arm at the learning rate that suits it; once with SGD, once with Adam. So is a small ViT, with Adam. A model of
    one's own, an architecture by name, is trained from scratch in the place of the CNN.
    """

    train: PositiveInt = Field(description="training images, a stratified subset")
    test: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further test images, on which learning rates are chosen")
    epochs: PositiveInt = Field(description="of each run")
    seeds: PositiveInt = Field(description="runs of each arm at its best learning rate")
    rates: Rates = Field(description="learning rates of the sweep, SGD; as text 0.1+0.2", min_length=1)
    adam_rates: Rates = Field(description="the same, Adam", min_length=1)
    ridge: PositiveFloat = Field(description="lambda")
    vit_epochs: NonNegativeInt = Field(description="of a small ViT with Adam; 0 for none")
    vit_rates: Rates = Field(description="learning rates of its sweep", min_length=1)

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for name, part in measured.items():
            if not isinstance(part, Mapping):
                continue
            epochs, accuracy = parts_of(name)
            seeds = [seed for _, seed in seeds_in(part)]
            words = f"{name}: times fewer epochs to A with TrAct"
            checks.append(_faster(epochs, words, values_of(seeds, "speed_up")))
            checks.append(decide(accuracy, f"{name}: final accuracy, TrAct minus plain", part["gain"]))
            if epochs == "epochs" and all("time_speed_up" in seed for seed in seeds):
                words = f"{name}: times fewer processor seconds to A with TrAct"
                checks.append(_faster("time", words, values_of(seeds, "time_speed_up")))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        parts = []
        for name, part in measured.items():
            seeds = [v["noise"] for k, v in part.items() if k.startswith("seed")] if isinstance(part, Mapping) else []
            lost = sum(s["plain"]["value"] - s["tract"]["value"] for s in seeds) / max(1, len(seeds))
            if lost > NOISE_LOST:
                parts.append(
                    f"Under noise {name} loses {lost:.3f} of its accuracy by TrAct, which weighs weak directions of "
                    "the input up to 1/lambda times more; noise lies in them."
                )
        return " ".join(parts)


def parts_of(name: str) -> tuple[str, str]:
    """The parts of the claim that the epochs and the accuracy of a network are judged for, by its name."""
    if name == TRANSFORMER:
        return "transformers", "transformers"
    return ("optimisers", "optimisers") if name.endswith(ADAM) else ("epochs", "accuracy")


def _faster(part: str, words: str, ratios: Any) -> Check:
    """Judge a ratio that should be above 1, over the seeds."""
    return decide(part, words, across_seeds(ratios, low=0.0, high=math.inf), above=1.0, opposed_below=1.0)

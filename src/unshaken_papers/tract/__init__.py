"""`tract`: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide, seeds_in
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
Rates = Annotated[tuple[PositiveFloat, ...], PlusSeparated]


@register("tract", reference="Petersen et al. 2024, arXiv:2410.23970")
class TrActPaper(Paper):
    """Does a first layer with the TrAct gradient learn in fewer epochs?

    A CNN of 38,000 parameters is trained with and without TrAct: the same weights at the start, the same batches, each
    arm at the learning rate that suits it; once with SGD, once with Adam. So is a small ViT, with Adam. A model of
    one's own, an architecture by name, is trained from scratch in the place of the CNN.
    """

    title: ClassVar[str] = "TrAct: Making First-layer Pre-Activations Trainable"
    claim: ClassVar[str] = (
        "With the first layer's weight gradient replaced by that of a least-squares step on its pre-activations, "
        "networks need 1.25 to 4 times fewer epochs to the same accuracy."
    )
    summary: ClassVar[str] = "Training a first layer by its pre-activations needs fewer epochs to the same accuracy."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "epochs": ClaimPart(
            statement="Networks reach the accuracy of plain training in 1.25 to 4 times fewer epochs.",
            rule="Each arm at the learning rate of its sweep that is best on other test images, the epochs to A, the "
            "plain run's final accuracy less 2 points: shown if over the seeds the network needs fewer "
            "with TrAct (ratio above 1); contradicted if more.",
        ),
        "accuracy": ClaimPart(
            statement="Networks end at an accuracy at least as high as by plain training.",
            rule="Shown if over the seeds the final accuracy of the network is higher with TrAct, each "
            "arm at its best learning rate; contradicted if lower.",
        ),
        "transformers": ClaimPart(
            statement="The same holds of vision transformers that are trained with Adam.",
            rule="Shown if over the seeds the small ViT needs fewer epochs to A, and ends at a higher accuracy; "
            "contradicted if it needs more, or ends lower. Not tried with `vit_epochs=0`.",
            central=False,
        ),
        "optimisers": ClaimPart(
            statement="The same holds of convolutional networks that are trained with Adam.",
            rule="Shown if over the seeds the network trained with Adam in the place of SGD needs fewer epochs to A, "
            "and ends at a higher accuracy; contradicted if it needs more, or ends lower.",
            central=False,
        ),
        "large-networks": ClaimPart(
            statement="The same holds of ResNets and of ImageNet.",
            untried="Needs ResNets, and a hundred epochs and more.",
            central=False,
        ),
        "time": ClaimPart(
            statement="Training takes less time.",
            rule="Of the network that is trained with SGD, seconds to A: epochs to A times the processor time of the "
            "median epoch's steps, which other work on the machine does not lengthen. Shown if over the seeds TrAct "
            "needs fewer (ratio above 1); contradicted if more.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "1.25 to 4 times fewer epochs over ResNets and ViTs (abstract)",
        "cnn": {
            "seed0": {
                "speed_up": "1.33 (pilot, lr 0.2)",
                "final": {"plain": "0.502 (pilot)", "tract": "0.544 (pilot)"},
            },
            "seed1": {
                "speed_up": "1.57 (pilot, lr 0.2)",
                "final": {"plain": "0.493 (pilot)", "tract": "0.541 (pilot)"},
            },
        },
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "cnn.seed*.speed_up": ("Times fewer epochs to the same accuracy", "ratio"),
        "cnn.seed*.time_speed_up": ("Times fewer processor seconds to it", "ratio"),
        "cnn-adam.seed*.speed_up": ("Times fewer epochs, with Adam", "ratio"),
        "transformer.seed*.speed_up": ("Times fewer epochs, ViT with Adam", "ratio"),
        "cnn.seed*.final.tract_minus_plain": ("Final accuracy, TrAct minus plain", "accuracy"),
        "cnn-adam.seed*.final.tract_minus_plain": ("The same, with Adam", "accuracy"),
        "transformer.seed*.final.tract_minus_plain": ("The same, ViT with Adam", "accuracy"),
        "cnn.seed*.final.plain": ("Final accuracy, plain", "accuracy"),
        "cnn.seed*.noise.plain": ("Under noise of deviation 0.08, plain", "accuracy"),
        "cnn.seed*.noise.tract": ("Under noise of deviation 0.08, TrAct", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A CNN of 38,000 parameters and a ViT of 142,000, few images and few epochs.",
        "Accuracy under noise and low contrast is not part of the claim.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = CNN
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "epochs": {
            "arch": "string",
            "arm": "string",
            "lr": "double",
            "seed": "int64",
            "epoch": "int64",
            "right": "int64",
            "images": "int64",
            "choosing": "int64",
            "chosen_from": "int64",
            "processor_seconds": "double",
        }
    }

    train: PositiveInt = Field(4000, description="training images, a stratified subset")
    test: PositiveInt = Field(2000, description="test images")
    choosing: PositiveInt = Field(1000, description="further test images, on which learning rates are chosen")
    epochs: PositiveInt = Field(8, description="of each run")
    seeds: PositiveInt = Field(3, description="runs of each arm at its best learning rate")
    rates: Rates = Field((0.2, 0.4), description="learning rates of the sweep, SGD; as text 0.1+0.2", min_length=1)
    adam_rates: Rates = Field((3e-3, 1e-2), description="the same, Adam", min_length=1)
    ridge: PositiveFloat = Field(0.1, description="lambda")
    vit_epochs: NonNegativeInt = Field(6, description="of a small ViT with Adam; 0 for none")
    vit_rates: Rates = Field((1e-3, 3e-3), description="learning rates of its sweep", min_length=1)

    full: ClassVar[Mapping[str, Any]] = {
        "train": 6000, "test": 5000, "choosing": 2500, "epochs": 10, "seeds": 5, "vit_epochs": 8,
        "rates": (0.2, 0.4, 0.8), "adam_rates": (1e-3, 3e-3, 1e-2, 3e-2), "vit_rates": (1e-3, 3e-3, 1e-2),
    }  # fmt: skip

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
            gain = values_of(seeds, "final", "tract_minus_plain")
            checks.append(decide(accuracy, f"{name}: final accuracy, TrAct minus plain", gain))
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

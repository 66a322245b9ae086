"""`tract`: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, PlusSeparated, across_seeds, decide, seeds_in

CNN = "cnn"
VIT = "small-vit"
ARMS = ("plain", "tract")
RATES = (0.08, 0.2, 0.4)
NOISE_LOST = 0.02
"""Accuracy under noise that TrAct loses to the plain run before the remark gives the reason."""


@register("tract", reference="Petersen et al. 2024, arXiv:2410.23970")
class TrActPaper(Paper):
    """Does a first layer with the TrAct gradient learn in fewer epochs?

    A CNN of 38,000 parameters, trained on 10,000 images with and without TrAct: the same weights at the start, the same
    batches, each arm at the learning rate that suits it. With a model of one's own, an architecture by name, that is
    trained from scratch in its place; with `vit_epochs` a small ViT is trained besides.
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
            rule="With `vit_epochs`, and not tried without: shown if over the seeds the small ViT needs fewer epochs "
            "to A, and ends at a higher accuracy; contradicted if it needs more, or ends lower.",
            central=False,
        ),
        "optimisers": ClaimPart(
            statement="The same holds with other optimisers than SGD, for networks of any kind.",
            untried="The convolutional network is trained with SGD alone; needs a sweep with Adam.",
            central=False,
        ),
        "large-networks": ClaimPart(
            statement="The same holds of ResNets and of ImageNet.",
            untried="Needs ResNets, and a hundred epochs and more.",
            central=False,
        ),
        "time": ClaimPart(
            statement="Training takes less time.",
            untried="Wall times are of the first seed, on a machine that did other work too; needs a quiet machine.",
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
        "cnn.at_equal_lr.0.2.speed_up": ("The same with both at learning rate 0.2", "ratio"),
        "cnn.at_equal_lr.0.2.seconds_ratio": ("Wall time of a run, TrAct over plain", "ratio"),
        "cnn.seed*.final.tract_minus_plain": ("Final accuracy, TrAct minus plain", "accuracy"),
        "cnn.seed*.final.plain": ("Final accuracy, plain", "accuracy"),
        "cnn.seed*.final.tract": ("Final accuracy, TrAct", "accuracy"),
        "cnn.seed*.noise.plain": ("Under noise of deviation 0.08, plain", "accuracy"),
        "cnn.seed*.noise.tract": ("Under noise of deviation 0.08, TrAct", "accuracy"),
        "cnn.seed*.contrast.plain": ("At a quarter of the contrast, plain", "accuracy"),
        "cnn.seed*.contrast.tract": ("At a quarter of the contrast, TrAct", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A CNN of 38,000 parameters, 10,000 images and 8 epochs; a ViT is trained with vit_epochs=7 alone, for some "
        "minutes more.",
        "Accuracy under noise and low contrast is not part of the claim. Wall times are those of a machine that did "
        "other work too.",
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
            "seconds": "double",
        }
    }

    train: PositiveInt = Field(10_000, description="training images, a stratified subset")
    test: PositiveInt = Field(5000, description="test images")
    choosing: PositiveInt = Field(2500, description="further test images, on which learning rates are chosen")
    epochs: PositiveInt = Field(8, description="of each run")
    seeds: PositiveInt = Field(2, description="runs of each arm at its best learning rate")
    rates: Annotated[tuple[PositiveFloat, ...], PlusSeparated] = Field(
        RATES, description="learning rates of the sweep, SGD; as text 0.1+0.2", min_length=1
    )
    ridge: PositiveFloat = Field(0.1, description="lambda")
    vit_epochs: NonNegativeInt = Field(0, description="of a small ViT with Adam; 0 for none")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`."""
        checks = []
        for name, part in measured.items():
            if not isinstance(part, Mapping):
                continue
            epochs, accuracy = ("transformers", "transformers") if name == VIT else ("epochs", "accuracy")
            seeds = [seed for _, seed in seeds_in(part)]
            ratio = across_seeds([seed["speed_up"] for seed in seeds], low=0.0, high=math.inf)
            words = f"{name}: times fewer epochs to A with TrAct"
            checks.append(decide(epochs, words, ratio, above=1.0, opposed_below=1.0))
            gain = across_seeds([seed["final"]["tract_minus_plain"]["value"] for seed in seeds])
            checks.append(decide(accuracy, f"{name}: final accuracy, TrAct minus plain", gain))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """What TrAct costs under noise."""
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

"""`foundation-oracle-robustness`: accuracy on images changed as far as pretrained networks see the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, seeds_in

PLAIN, NOISE, ADVERSARIAL = "plain", "noise", "adversarial"
RECIPES: Mapping[str, Sequence[str]] = {
    PLAIN: (),
    NOISE: ("gaussian-augmented:sigma=0.1",),
    ADVERSARIAL: ("fgsm-rs:eps=4/255",),
}
"""Trainings of the networks that are evaluated."""
BOUNDED, FREE = "bounded", "free"
"""Searches: as far as the oracles see the class, and without them."""
LOST, APART = 0.1, 0.0
"""Least loss, 1 less FMR, of every training; least difference of FMR."""


@register("foundation-oracle-robustness", reference="Zhang et al. 2024, arXiv:2308.10632")
class FoundationOraclePaper(Paper):
    """Do networks err on images in which pretrained networks still see the class, and does training change how often?

    Small networks are evaluated by images of an auto-encoder, moved against each of them until two probes on pretrained
    networks no longer see the class together. A third, held-out one says what that constraint is worth.
    """

    title: ClassVar[str] = "Foundation Model-oriented Robustness: Robust Image Model Evaluation with Pretrained Models"
    claim: ClassVar[str] = (
        "Images perturbed against a model as far as a pretrained oracle still sees their class show how robust it is: "
        "FMR, the accuracy on them over the clean accuracy, is far below 1 and separates models, and the oracle's "
        "constraint keeps the class in the images."
    )
    summary: ClassVar[str] = "Images changed as far as an oracle sees the class separate models by robustness."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "lost": ClaimPart(
            statement="Every model loses accuracy on images in which the oracle still sees the class.",
            rule=f"Shown if, for every training, 1 less FMR is above {LOST} by the interval over images, networks of "
            "all seeds averaged by image; contradicted if one is below 0.",
        ),
        "separates": ClaimPart(
            statement="FMR separates models that were trained differently.",
            rule="Shown if FMR after adversarial training less FMR after plain training is above 0 by the paired "
            "interval over the same images, seeds averaged by image; contradicted if it is below 0.",
        ),
        "constraint": ClaimPart(
            statement="The oracle's constraint keeps the class in the images.",
            rule="Shown if the share of searched images whose class a held-out pretrained network sees is larger with "
            "the constraint than without it after as many steps allowed, by the paired interval over images, networks "
            "and seeds averaged by image; contradicted if it is smaller.",
        ),
        "diagonal": ClaimPart(
            statement="Images are hardest for the model that they were made against.",
            rule="Shown if accuracy on images made against the other trainings less accuracy on a network's own "
            "images, means over networks and seeds by image, is above 0 by its interval; contradicted if below.",
            central=False,
        ),
        "transformers": ClaimPart(
            statement="Transformers have a higher FMR than convolutional networks.",
            untried="needs transformers that classify as well as the convolutional networks do.",
            central=False,
        ),
        "generator": ClaimPart(
            statement="A transformer trained with the generator's own images has the highest FMR.",
            untried="needs discrete adversarial training with a quantising generator.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "CIFAR-10 and ImageNet with a VQGAN and CLIP: transformers above convolutional networks, the "
        "model trained with VQGAN images highest; no figure is quoted here"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "separates": ("FMR gained by adversarial training", "ratio"),
        f"fmr.{PLAIN}": ("FMR, plain training", "ratio"),
        f"fmr.{NOISE}": ("FMR, training on noise", "ratio"),
        f"fmr.{ADVERSARIAL}": ("FMR, adversarial training", "ratio"),
        "constraint": ("Held-out agreement gained by the oracle's constraint", "share"),
        f"agreement.{BOUNDED}": ("Held-out network sees the class, with the constraint", "share"),
        f"agreement.{FREE}": ("The same, without", "share"),
        "validated": ("Images whose reconstruction the oracle knows", "share"),
        "diagonal": ("Accuracy on images made against others, less on own images", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "CIFAR-10 and networks of 74,000 parameters, trained on few images.",
        "The generator is a convolutional auto-encoder with a code of 16 x 8 x 8 numbers, not a VQGAN.",
        "Oracles are linear probes on EfficientNet-Lite0 and Lite1, the held-out one on Lite2: of one family, and "
        "better than the evaluated networks by less than a person would be.",
        "Images that the oracles know are taken; where a network is wrong on the unchanged one, none is searched for.",
        "Step rule, step size and number of steps of the publication are not known to us; the step size was set on one "
        "seed so that the oracle ends some of the searches and not all.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "small"
    full: ClassVar[Mapping[str, Any]] = {
        "images": 10_000, "epochs": 10, "probed": 5_000, "side": 128, "coder_steps": 6_000, "pool": 600,
        "attacked": 200, "steps": 30, "rate": 0.02,
    }  # fmt: skip

    images: PositiveInt = Field(4_000, description="training images of the evaluated networks")
    epochs: PositiveInt = Field(6, description="epochs of their training")
    oracles: str = Field(
        "imagenet:efficientnet-lite0+imagenet:efficientnet-lite1",
        description="SPECs of pretrained networks whose probes are the oracle",
    )
    held_out: str = Field("imagenet:efficientnet-lite2", description="SPEC of the held-out pretrained network")
    side: NonNegativeInt = Field(96, description="side in pixels that they see; 0 for their own")
    probed: PositiveInt = Field(2_500, description="further images that the probes of the oracle are fitted on")
    coder_steps: PositiveInt = Field(2_000, description="training steps of the auto-encoder")
    pool: PositiveInt = Field(300, description="test images, of which those that the oracle knows are taken")
    attacked: PositiveInt = Field(100, description="test images at most that are perturbed")
    steps: PositiveInt = Field(20, description="steps of a search at most")
    rate: PositiveFloat = Field(0.03, description="step size, in deviations of an image's code")
    seeds: PositiveInt = Field(3, description="seeds of the evaluated networks")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        lost = measured["lost"]
        words = "FMR, adversarial less plain training"
        return [
            *(decide("lost", f"1 less FMR, {name}", lost[name], above=LOST) for name in RECIPES),
            decide("separates", words, measured["separates"], above=APART),
            decide("constraint", "held-out agreement gained by the constraint", measured["constraint"]),
            decide("diagonal", "accuracy on images of others less on own images", measured["diagonal"]),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        ended = [part[name]["stopped"] for _, part in seeds_in(measured) for name in RECIPES]
        accuracy = measured["oracle_accuracy"]
        return (
            f"The oracle ended {min(ended):.0%} to {max(ended):.0%} of the searches. Its probes know "
            f"{accuracy['least']['value']:.0%} of the test images or more, the held-out one "
            f"{accuracy['held_out']['value']:.0%}."
        )

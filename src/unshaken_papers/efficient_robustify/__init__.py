"""`efficient-robustify`: a small robust teacher, and three heads on a large model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, pilot

HEADS = ("unclean", "combined")
"""Those that are tuned."""
ARMS = ("three", "plain")
"""Three heads with a teacher, and without (partial fine-tuning)."""
CHANGES: Mapping[str, tuple[float, ...]] = {
    "noise": (0.04, 0.08, 0.12),
    "blur": (1, 2, 3),
    "contrast": (0.6, 0.4, 0.25),
}
"""Kind to three strengths: deviation; times that a binomial filter of 5 x 5 is passed; share of the contrast left."""
CONDITIONS = ("clean-0", *(f"{kind}-{s:g}" for kind, strengths in CHANGES.items() for s in strengths))
GAIN, LOSS = 0.03, 0.02
SMALL_PART = 0.15
"""Share of the parameters that a small tunable part has at most."""


@register("efficient-robustify", reference="Jain et al. 2023, arXiv:2309.07499")
class EfficientRobustifyPaper(Paper):
    """Does a small robust teacher make a large model robust through a few tuned layers, its old abilities kept?

    Five convolutional blocks on CIFAR-10, of which copies of the last two learn; a teacher of half the width. For a
    model of one's own there is the recipe `three-heads`.
    """

    title: ClassVar[str] = "Efficiently Robustify Pre-Trained Models"
    claim: ClassVar[str] = (
        "A small model made robust first can teach a small tunable part of a large model: robustness at a fraction of "
        "the cost of full fine-tuning, while a clean head keeps clean accuracy and the original abilities, the head "
        "being chosen for each image by uncertainty and divergence."
    )
    summary: ClassVar[str] = "A few tuned layers make a model robust to corruptions, and the original stays at hand."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "gain": ClaimPart(
            statement="Tuning a part of a model that was made robust by a small teacher makes it robust to shifts.",
            rule=f"Shown if both tuned heads, unclean and combined, gain more than {GAIN} of accuracy on corrupted "
            "images (noise, blur and contrast, three strengths each) over the original; contradicted if one loses.",
        ),
        "teacher": ClaimPart(
            statement="It is the small robust teacher that makes the tuned part robust.",
            rule="Shown if the unclean and the combined head are better on corrupted images with the teacher than "
            "without it; contradicted if one is worse.",
        ),
        "clean-kept": ClaimPart(
            statement="With its clean head the model keeps its clean accuracy.",
            rule=f"Shown if choosing the head for each image loses less than {LOSS} of clean accuracy against the "
            "original; contradicted if it loses more.",
        ),
        "routing": ClaimPart(
            statement="Uncertainty and divergence choose the clean head for clean images, the robust one for others.",
            rule="Shown if more than half of the clean images are sent to the clean head, and more than half of the "
            "corrupted ones to the other; contradicted if less than half of either.",
        ),
        "abilities-kept": ClaimPart(
            statement="The original model and its abilities stay available unchanged.",
            rule="Shown if trunk and clean head are the original's to the bit after tuning, contradicted if not.",
        ),
        "cost": ClaimPart(
            statement="Only a small part of the model is tuned, at a fraction of the cost of full fine-tuning.",
            rule=f"Shown if the tuned parameters are at most {SMALL_PART:.0%} of the model's, and their tuning and the "
            "teacher's training take less than half of the seconds of full fine-tuning; contradicted if there are more "
            "of them than the model has.",
        ),
        "unseen-shifts": ClaimPart(
            statement="It holds on ImageNet-C, ImageNet-R, ImageNet-Sketch and ImageNet-A.",
            untried="training and test share the families of corruption; needs sets with shifts that were not trained.",
            central=False,
        ),
        "zero-shot": ClaimPart(
            statement="Zero-shot and transfer accuracy are kept where full fine-tuning loses them.",
            untried="the network is trained from scratch on ten classes; needs a pretrained model and other data.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "no figures are at hand; the claim is one of ImageNet-C accuracy against training time",
        **pilot(
            "original.clean 0.625, original.corrupted 0.336, three.unclean.corrupted 0.498, "
            "three.combined.corrupted 0.481, three.route.clean 0.589, plain.unclean.corrupted 0.501",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "three.route.clean_minus_original": (
            "Clean images, routed heads minus the original (-0.02 allowed)",
            "accuracy",
        ),
        "three.route.corrupted_minus_original": ("Corrupted images, routed heads minus the original", "accuracy"),
        "three.unclean.corrupted_minus_original": ("Corrupted images, robust head minus the original", "accuracy"),
        "teacher_effect.unclean": ("Corrupted images, robust head with minus without a teacher", "accuracy"),
        "original.clean": ("Original, clean images", "accuracy"),
        "original.corrupted": ("Original, corrupted images", "accuracy"),
        "three.route.clean": ("Routed heads, clean images", "accuracy"),
        "three.route.corrupted": ("Routed heads, corrupted images", "accuracy"),
        "full.clean": ("Full fine-tuning, clean images", "accuracy"),
        "full.corrupted": ("Full fine-tuning, corrupted images", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "The publication's code is not public: losses, weights and routing are a specification made here.",
        "Two copies of the last blocks have more parameters than this small network has in all: what they cost says "
        "nothing of a large model whose trunk is the main cost.",
        "Means over three networks of each kind; their intervals are over images.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "five blocks"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"costs": {"value": "double"}}

    full: ClassVar[Mapping[str, Any]] = {
        "train": 6_000,
        "teacher_train": 12_000,
        "test": 800,
        "epochs": 7,
        "teacher_epochs": 8,
    }

    seeds: PositiveInt = Field(3, description="networks of each kind")
    train: PositiveInt = Field(2_500, description="images of the large network and of its tuning")
    teacher_train: PositiveInt = Field(5_000, description="images of the teacher, the former among them")
    test: PositiveInt = Field(400, description="test images")
    epochs: PositiveInt = Field(4, description="epochs of the large network")
    teacher_epochs: PositiveInt = Field(4, description="epochs of the teacher")
    tuning_epochs: PositiveInt = Field(2, description="epochs of tuning, of two views each")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        three, effect = measured["three"], measured["teacher_effect"]
        kept = three["route"]["clean_minus_original"]
        return [
            *(
                decide("gain", f"corrupted images, {head} head minus the original", gain, above=GAIN)
                for head in HEADS
                for gain in [three[head]["corrupted_minus_original"]]
            ),
            *(decide("teacher", f"corrupted images, {h} head with teacher minus without", effect[h]) for h in HEADS),
            decide("clean-kept", "clean images, chosen head minus the original", kept, above=-LOSS),
            *self._routed(three["routing"]),
            *self._afforded(measured["cost"]),
        ]

    def _routed(self, sent: Mapping[str, float]) -> list[Check]:
        """Shares of images; as wide as if all seeds agreed on each of them."""
        from unshaken.measure import share  # torch is not needed to list a paper

        ways = {
            "clean images sent to the clean head": sent["clean_to_clean"],
            "corrupted images sent to the other": 1 - sent["changed_to_clean"],
        }
        found = {words: share(round(part * self.test), self.test).to_json() for words, part in ways.items()}
        return [decide("routing", words, part, above=0.5, opposed_below=0.5) for words, part in found.items()]

    def _afforded(self, cost: Mapping[str, Any]) -> list[Check]:
        found, tuned, seconds = cost["original_recovered"], cost["tunable_share"], cost["seconds"]
        ours, full = seconds["three"] + seconds["teacher"], seconds["full"]
        words = f"{tuned:.0%} of the model's parameters are tuned, {SMALL_PART:.0%} wanted; once timed, tuning and "
        words += f"teacher took {ours:.0f} s, full fine-tuning {full:.0f} s"
        held = tuned <= SMALL_PART and ours < full / 2
        return [
            Check(
                f"the original is {'' if found else 'not '}found again to the bit", found, "abilities-kept", not found
            ),
            Check(words, held, "cost", opposed=tuned > 1),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        sent = measured["three"]["routing"]
        return (
            f"Routing sends {sent['clean_to_clean']:.0%} of clean and {sent['changed_to_clean']:.0%} of changed images "
            "to the clean head: the combined head learns from changed images too, and mostly lies nearer to the "
            "robust one."
        )

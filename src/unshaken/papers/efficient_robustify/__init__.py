"""`efficient-robustify`: a small robust teacher, and three heads on a large model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper, pilot

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
    summary: ClassVar[str] = "A small robust teacher makes a large model robust through a few tuned layers."
    rule: ClassVar[str] = (
        "Reproduced if all three parts hold, as means over the seeds of tuning: (1) the unclean or the combined head "
        "beats the original on corrupted images (noise, blur and contrast, three strengths each) by at least 3 points; "
        "(2) routing loses at most 2 points of clean accuracy; (3) the unclean head is better on corrupted images with "
        "the teacher than without it. Training and test share the families of corruption."
    )
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
        "Two copies of the last blocks have more parameters than this small network has in all, so the claim on cost "
        "is not tried.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "five blocks"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {"costs": {"value": "double"}}

    seeds: PositiveInt = Field(3, description="seeds of tuning")
    train: PositiveInt = Field(6_000, description="images of the large network and of its tuning")
    teacher_train: PositiveInt = Field(12_000, description="images of the teacher, the former among them")
    test: PositiveInt = Field(800, description="test images")
    epochs: PositiveInt = Field(7, description="epochs of the large network")
    teacher_epochs: PositiveInt = Field(8, description="epochs of the teacher")
    tuning_epochs: PositiveInt = Field(2, description="epochs of tuning, of two views each")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        three, effect = measured["three"], measured["teacher_effect"]["unclean"]["value"]
        gains = {head: three[head]["corrupted_minus_original"]["value"] for head in ("unclean", "combined")}
        best = max(gains, key=lambda head: gains[head])
        lost = -three["route"]["clean_minus_original"]["value"]
        return [
            Check(f"(1) the {best} head gains {gains[best]:+.3f} on corrupted images ({GAIN})", gains[best] >= GAIN),
            Check(f"(2) routing loses {lost:.3f} of clean accuracy ({LOSS} allowed)", lost <= LOSS),
            Check(f"(3) the teacher adds {effect:+.4f} to the unclean head on corrupted images", effect > 0),
        ]

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Where images are sent, and whether the original is intact."""
        sent, cost = measured["three"]["routing"], measured["cost"]
        return (
            f"Routing sends {sent['clean_to_clean']:.0%} of clean and {sent['changed_to_clean']:.0%} of changed images "
            "to the clean head: the combined head learns from changed images too, and mostly lies nearer to the "
            f"robust one. The original was {'' if cost['original_recovered'] else 'NOT '}found again to the bit."
        )

"""`token-attention`: pooling tokens before attention, and attention that does not all look at one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, across_seeds, decide, seeds_in

SMALL = "small-vit"
ARMS = ("plain", "tap", "adl", "tap+adl")
"""Continuations of the training; the first is the one that the others are compared with."""
KINDS: Mapping[str, str] = {
    "noise": "gaussian_noise:preset=cifar",
    "blur": "gaussian_blur:preset=cifar",
    "contrast": "contrast:preset=cifar",
}
SEVERITIES = (1, 3, 5)
MEASURES = ("overfocus", "entropy", "stability", "adl", "surviving")
"""What is measured of the attention to each image in each layer; `stability` compares it with the clean image."""
PILOT = (
    "small transformers trained from scratch, one seed: plain clean 0.525, corrupted 0.337; TAP and ADL 0.500, 0.319"
)


@register("token-attention", reference="Guo et al. 2023, arXiv:2303.11126")
class TokenAttentionPaper(Paper):
    """Do token-aware pooling and attention diversification make a vision transformer hold against corruptions?

    A small transformer is trained on CIFAR-10, then trained on in four ways: plainly, with TAP, with ADL, with both,
    pooling beginning near the network as it is. A model of one's own takes the place of the first training.
    """

    title: ClassVar[str] = "Robustifying Token Attention for Vision Transformers"
    claim: ClassVar[str] = (
        "Vision transformers attend to very few tokens, and that attention changes under corruption; averaging each "
        "token's neighbourhood before attention (TAP) and penalising tokens that all attend to the same places (ADL) "
        "lower the error under common corruptions and raise clean accuracy slightly."
    )
    summary: ClassVar[str] = "Pooling tokens and diversifying attention lower a transformer's error under corruption."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "corrupted": ClaimPart(
            statement="TAP and ADL together lower the error under common corruptions.",
            rule="Shown if over the seeds they raise the accuracy under corruptions (mean of noise, blur and contrast "
            "at three severities) over the plain continuation; contradicted if they lower it.",
        ),
        "clean": ClaimPart(
            statement="TAP and ADL together raise the accuracy on clean images slightly.",
            rule="Shown if over the seeds clean accuracy rises over the plain continuation; contradicted if it falls.",
        ),
        "diversified": ClaimPart(
            statement="ADL keeps tokens from all attending to the same places.",
            rule="Shown if in every seed training with ADL, alone and with TAP, lowers both the ADL of test images and "
            "overfocus below those of the plain continuation, means over layers.",
        ),
        "overfocus": ClaimPart(
            statement="Vision transformers attend to very few tokens.",
            rule="Shown if over the seeds the most attended token of the plain network gets more than the threshold of "
            "ADL, twice an even share, mean over layers; contradicted if less.",
            central=False,
        ),
        "stable": ClaimPart(
            statement="Attention changes under corruption, and less so with TAP and ADL.",
            rule="Shown if over the seeds attention to corrupted images is more similar to that of clean ones than "
            "after the plain continuation, mean of noise, blur and contrast, and its entropy is no higher: even "
            "attention is stable for free. Contradicted if it is less similar.",
            central=False,
        ),
        "from-scratch": ClaimPart(
            statement="Networks are trained with TAP and ADL from the start.",
            untried="Both are added to a network that is trained already; needs training from the start on ten "
            "thousand images or more, until the plain network overfits.",
            central=False,
        ),
        "imagenet": ClaimPart(
            statement="On ImageNet-C the two lower the mCE of FAN by 2.4, and help on ImageNet-A, -R and -P.",
            untried="Needs a large network, ImageNet and its variants.",
            central=False,
        ),
        "segmentation": ClaimPart(
            statement="TAP and ADL help segmentation under corruption and bad weather.",
            untried="No network here segments images.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "FAN-B-Hybrid with both: ImageNet 84.3 %, mCE 43.7; against plain +0.4 points, mCE -2.4",
        "pilot": PILOT,
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "over_seeds.tap+adl.corrupted": ("Corrupted images, gain by TAP and ADL", "accuracy"),
        "over_seeds.tap+adl.clean": ("Clean images, gain by TAP and ADL", "accuracy"),
        "over_seeds.tap.corrupted": ("Corrupted images, gain by TAP alone", "accuracy"),
        "over_seeds.adl.corrupted": ("Corrupted images, gain by ADL alone", "accuracy"),
        "seed*.plain.corrupted.mean": ("Corrupted images, plain training", "accuracy"),
        "seed*.tap+adl.corrupted.mean": ("Corrupted images, TAP and ADL", "accuracy"),
        "seed*.plain.attention.overfocus": ("Overfocus of attention, plain training", "times even attention"),
        "seed*.tap+adl.attention.overfocus": ("Overfocus of attention, TAP and ADL", "times even attention"),
        "seed*.plain.attention.adl": ("ADL of test images, plain training", "loss"),
        "seed*.tap+adl.attention.adl": ("ADL of test images, TAP and ADL", "loss"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Small transformers with a class token, which pooling passes by, trained on few images and for few epochs.",
        "Pooling begins near the network as it was (identity=4), not with shares drawn at random.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "attention": {"layer": "int32", **dict.fromkeys(MEASURES, "double")},
        "scales": {"layer": "int32", "scale": "int32", "share": "double"},
    }

    train: PositiveInt = Field(4000, description="training images")
    test: PositiveInt = Field(800, description="test images")
    epochs: PositiveInt = Field(10, description="of the first training")
    tune: PositiveInt = Field(2, description="epochs of each continuation")
    rate: PositiveFloat = Field(1e-3, description="largest learning rate of the continuations")
    weight: NonNegativeFloat = Field(1.0, description="of ADL")
    threshold: NonNegativeFloat = Field(2.0, description="of ADL, in units of even attention")
    identity: NonNegativeFloat = Field(4.0, description="of TAP: added to the logit of the token itself")
    seeds: PositiveInt = Field(2, description="seeds of training")
    looked: PositiveInt = Field(200, description="test images whose attention is looked at")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`."""
        seeds = [arms for _, arms in seeds_in(measured)]
        both, plain = ([arms[name] for arms in seeds] for name in (ARMS[-1], ARMS[0]))
        values = {
            "corrupted": [[arm["corrupted"]["mean"]["value"] for arm in part] for part in (both, plain)],
            "clean": [[arm["clean"]["value"] for arm in part] for part in (both, plain)],
            "stable": [[_stability(arm["attention"]) for arm in part] for part in (both, plain)],
            "flat": [[arm["attention"]["entropy"] for arm in part] for part in (plain, both)],
        }
        gaps = {name: across_seeds([a - b for a, b in zip(*pair, strict=True)]) for name, pair in values.items()}
        focus = across_seeds([arm["attention"]["overfocus"] for arm in plain], low=1.0, high=math.inf)
        words, least = "attention to the most attended token in even shares, plain training", self.threshold
        checks = [
            decide("corrupted", "accuracy under corruptions, TAP and ADL minus plain", gaps["corrupted"]),
            decide("clean", "accuracy on clean images, TAP and ADL minus plain", gaps["clean"]),
            decide("overfocus", words, focus, above=least, opposed_below=least),
            decide("stable", "similarity of attention, TAP and ADL minus plain", gaps["stable"]),
            decide("stable", "entropy of attention, plain minus TAP and ADL", gaps["flat"], opposed_below=-1),
        ]
        for seed, arms in seeds_in(measured):
            for arm in ("adl", "tap+adl"):
                before, after = (arms[a]["attention"] for a in ("plain", arm))
                words = (
                    f"{seed}: {arm} takes ADL from {before['adl']:.3f} to {after['adl']:.3f}, overfocus from "
                    f"{before['overfocus']:.2f} to {after['overfocus']:.2f}"
                )
                held = after["adl"] < before["adl"] and after["overfocus"] < before["overfocus"]
                checks.append(Check(words, held, "diversified"))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """How much is pooled."""
        return f"The gate of TAP leaves {self._kept(measured):.2f} of each token its own."

    def _kept(self, measured: Mapping[str, Any]) -> float:
        """The share of each token that pooling leaves, over seeds and layers."""
        rows = [row for _, arms in seeds_in(measured) for row in arms["tap+adl"]["scales"]]
        return float(sum(row[0] for row in rows) / len(rows))


def _stability(attention: Mapping[str, Any]) -> float:
    """Similarity of attention to corrupted and to clean images, mean over the kinds of corruption."""
    return sum(float(attention["stability"][kind]) for kind in KINDS) / len(KINDS)

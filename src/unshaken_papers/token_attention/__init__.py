"""`token-attention`: pooling tokens before attention, and attention that does not all look at one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, seeds_in
from unshaken.papers.effects import across_seeds

SMALL = "small-vit"
ARMS = ("plain", "tap", "adl", "tap+adl")
"""Ways of training; the first is the one that the others are compared with."""
WIDE = "wide"
"""Plain training of a network with as many weights as pooling brings."""
CONTINUED = "continued"
"""Where the figures of networks stand that go on from one that is trained already."""
KINDS: Mapping[str, str] = {
    "noise": "gaussian_noise:preset=cifar",
    "blur": "gaussian_blur:preset=cifar",
    "contrast": "contrast:preset=cifar",
}
SEVERITIES = (1, 3, 5)
FITTED = 0.05
"""The plain network fits its training images if it classifies this share more of them right than of test images."""
MEASURES = ("overfocus", "entropy", "stability", "adl", "surviving")
"""What is measured of the attention to each image in each layer; `stability` compares it with the clean image."""
PILOT = (
    "small transformers trained from scratch, one seed: plain clean 0.525, corrupted 0.337; TAP and ADL 0.500, 0.319"
)


@register("token-attention", reference="Guo et al. 2023, arXiv:2303.11126")
class TokenAttentionPaper(Paper):
    """Do token-aware pooling and attention diversification make a vision transformer hold against corruptions?

    Small transformers are trained on CIFAR-10 from scratch in four ways: plainly, with TAP, with ADL, with both; and
    the plain one is trained on in the same four ways, pooling beginning near the network as it is. A model of one's own
    is trained on only.
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
            rule="Trained from scratch: shown if over the seeds they raise the accuracy under corruptions (mean of "
            "noise, blur and contrast at three severities) over plain training; contradicted if they lower it.",
        ),
        "clean": ClaimPart(
            statement="TAP and ADL together raise the accuracy on clean images slightly.",
            rule="Trained from scratch: shown if over the seeds clean accuracy rises over plain training; contradicted "
            "if it falls.",
        ),
        "diversified": ClaimPart(
            statement="ADL keeps tokens from all attending to the same places.",
            rule="Shown if in every seed training with ADL, alone and with TAP, lowers both the ADL of test images and "
            "overfocus below those of plain training, means over layers.",
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
            "after plain training, mean of noise, blur and contrast, and its entropy is no higher: even attention is "
            "stable for free. Contradicted if it is less similar.",
            central=False,
        ),
        "capacity": ClaimPart(
            statement="The gain is not that of a larger network.",
            rule="Not tried with a model of one's own. Shown if over the seeds the accuracy under corruptions with TAP "
            "and ADL is above that of a plain network with as many weights; contradicted if below.",
            central=False,
        ),
        "continued": ClaimPart(
            statement="TAP and ADL also help where a network that is trained already is trained on.",
            rule="Not tried with a model of one's own, where it is what all other parts are judged on. Shown if over "
            "the seeds they raise the accuracy under corruptions over as many plain epochs; contradicted if they lower "
            "it.",
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
        "In networks that are trained already, pooling begins near the network as it was (identity=4).",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "attention": {"layer": "int32", **dict.fromkeys(MEASURES, "double")},
        "scales": {"layer": "int32", "scale": "int32", "share": "double"},
    }

    train: PositiveInt = Field(3000, description="training images")
    test: PositiveInt = Field(600, description="test images")
    epochs: PositiveInt = Field(6, description="of training from scratch")
    tune: PositiveInt = Field(1, description="epochs of each continuation")
    rate: PositiveFloat = Field(1e-3, description="largest learning rate of the continuations")
    weight: NonNegativeFloat = Field(1.0, description="of ADL")
    threshold: NonNegativeFloat = Field(2.0, description="of ADL, in units of even attention")
    identity: NonNegativeFloat = Field(4.0, description="of TAP in continuations: added to the logit of the token")
    seeds: PositiveInt = Field(3, description="seeds of training")
    looked: PositiveInt = Field(100, description="test images whose attention is looked at")

    full: ClassVar[Mapping[str, Any]] = {"train": 10_000, "test": 4000, "epochs": 12, "tune": 2, "looked": 300}

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        seeds = [arms for _, arms in seeds_in(measured)]
        plain = [arms[ARMS[0]]["attention"] for arms in seeds]
        focus = across_seeds([attention["overfocus"] for attention in plain], low=1.0, high=math.inf)
        words, least = "attention to the most attended token in even shares, plain training", self.threshold
        checks = [
            _gain("corrupted", "accuracy under corruptions", seeds, _corrupted),
            _gain("clean", "accuracy on clean images", seeds, lambda arm: arm["clean"]["value"]),
            decide("overfocus", words, focus, above=least, opposed_below=least),
            _gain("stable", "similarity of attention", seeds, lambda arm: _stability(arm["attention"])),
            _flatter(seeds),
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
        if all(WIDE in arms for arms in seeds):
            words = "accuracy under corruptions, plain network with as many weights"
            checks.append(_gain("capacity", words, seeds, _corrupted, WIDE))
        if all(CONTINUED in arms for arms in seeds):
            continued = [arms[CONTINUED] for arms in seeds]
            checks.append(_gain("continued", "accuracy under corruptions, trained on", continued, _corrupted))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        plain = [arms[ARMS[0]] for _, arms in seeds_in(measured)]
        known, unknown = (sum(arm[name]["value"] for arm in plain) / len(plain) for name in ("fitted", "clean"))
        fits = known - unknown >= FITTED
        reason = "it fits them" if fits else "it still underfits, so that a penalty has little to repair"
        return (
            f"The plain network classifies {known:.3f} of its training images and {unknown:.3f} of test images "
            f"right: {reason}. The gate of TAP leaves {self._kept(measured):.2f} of each token its own."
        )

    def _kept(self, measured: Mapping[str, Any]) -> float:
        """The share of each token that pooling leaves, over seeds and layers."""
        rows = [row for _, arms in seeds_in(measured) for row in arms["tap+adl"]["scales"]]
        return float(sum(row[0] for row in rows) / len(rows))


def _gain(
    part: str, words: str, seeds: Sequence[Mapping[str, Any]], figure: Callable[[Any], float], base: str = ARMS[0]
) -> Check:
    """Judge what TAP and ADL gain over another arm, a difference over the seeds."""
    gaps = [figure(arms[ARMS[-1]]) - figure(arms[base]) for arms in seeds]
    return decide(part, f"{words}, TAP and ADL minus {base}", gaps)


def _flatter(seeds: Sequence[Mapping[str, Any]]) -> Check:
    """Judge whether attention became no flatter; one that did is only not shown to be stable."""
    gaps = [arms[ARMS[0]]["attention"]["entropy"] - arms[ARMS[-1]]["attention"]["entropy"] for arms in seeds]
    return decide("stable", "entropy of attention, plain minus TAP and ADL", gaps, opposed_below=-1)


def _corrupted(arm: Mapping[str, Any]) -> float:
    """Accuracy under corruptions."""
    return float(arm["corrupted"]["mean"]["value"])


def _stability(attention: Mapping[str, Any]) -> float:
    """Similarity of attention to corrupted and to clean images, mean over the kinds of corruption."""
    return sum(float(attention["stability"][kind]) for kind in KINDS) / len(KINDS)

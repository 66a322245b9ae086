"""`token-attention`: pooling tokens before attention, and attention that does not all look at one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
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


@row(__file__)
class TokenAttentionPaper(Paper):
    """Do token-aware pooling and attention diversification make a vision transformer hold against corruptions?

    Small transformers are trained on CIFAR-10 from scratch in four ways: plainly, with TAP, with ADL, with both; and
    the plain one is trained on in the same four ways, pooling beginning near the network as it is. A model of one's own
    is trained on only.
    """

    train: PositiveInt = Field(description="training images")
    test: PositiveInt = Field(description="test images")
    epochs: PositiveInt = Field(description="of training from scratch")
    tune: PositiveInt = Field(description="epochs of each continuation")
    rate: PositiveFloat = Field(description="largest learning rate of the continuations")
    weight: NonNegativeFloat = Field(description="of ADL")
    threshold: NonNegativeFloat = Field(description="of ADL, in units of even attention")
    identity: NonNegativeFloat = Field(description="of TAP in continuations: added to the logit of the token")
    seeds: PositiveInt = Field(description="seeds of training")
    looked: PositiveInt = Field(description="test images whose attention is looked at")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        seeds = [arms for _, arms in seeds_in(measured)]
        plain = [arms[ARMS[0]]["attention"] for arms in seeds]
        focus = across_seeds([attention["overfocus"] for attention in plain], low=1.0, high=math.inf)
        over, against = measured["over_seeds"][ARMS[-1]], f"TAP and ADL minus {ARMS[0]}"
        words, least = "attention to the most attended token in even shares, plain training", self.threshold
        checks = [
            decide("corrupted", f"accuracy under corruptions, {against}", over["corrupted"]),
            decide("clean", f"accuracy on clean images, {against}", over["clean"]),
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

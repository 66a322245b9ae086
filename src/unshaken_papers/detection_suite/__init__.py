"""`detection-suite`: many scores of abnormality side by side, on images near to the normal ones and far from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

LOGITS = ("msp", "max-logit", "energy", "entropy", "gen", "kl-matching", "odin")
FEATURES = (
    *("knn", "vim", "react", "ash", "scale", "dice", "she", "gradnorm"),
    *("mahalanobis", "relative-mahalanobis"),
)
SCORES = (*LOGITS, *FEATURES)
"""Scores of the logits alone, and scores that also need the features."""
NEAR, NOISE, NORMAL = "near", "noise", "normal"
FAR = ("fashion-mnist", "mnist")
"""Data sets of another kind, where they are installed."""
CORRUPTED: Mapping[str, int] = {"jpeg_compression": 5, "gaussian_blur": 5}
"""Corruption to severity: normal images that are only changed."""
GAIN = 0.02


@row(__file__)
class DetectionSuitePaper(Paper):
    """Does one score of abnormality win on near and on far images alike?

    Small networks that never see two classes of CIFAR-10: those two (near), data of another kind (far), noise,
    corrupted and attacked images, by seventeen scores from one pass.
    """

    seeds: int = Field(ge=2, description="networks")
    train: PositiveInt = Field(description="training images, of which those of two classes are left out")
    epochs: PositiveInt = Field(description="of training")
    images: int = Field(ge=8, description="images of each test set, half to choose scores by, half to judge by")
    neighbours: PositiveInt = Field(description="k of knn")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        far, near = measured["chosen"]["far"], measured["chosen"]["near"]
        words = f"far images: AUROC of {far}, chosen on far images, minus {near}, chosen on near ones"
        checks = [decide("no-best-score", words, measured["far_gain"])]
        words = f"near images: AUROC of {near} minus {far}"
        checks.append(decide("no-best-score", words, measured["near_gain"]))
        words = f"far images: AUROC of {far} minus msp"
        checks.append(decide("beyond-softmax", words, measured["over_softmax"], above=GAIN, opposed_below=0.0))
        checks.append(self._harder(measured["harder"]))
        words = f"far images: AUROC of {far} without corrupted images among the normal ones minus with them"
        checks.append(decide("corrupted", words, measured["with_corrupted"]))
        return [*checks, *super().judge(measured)]

    def _harder(self, harder: Mapping[str, Any]) -> Check:
        """Whether near images are harder for most scores."""
        alone = [decide("near-is-harder", name, harder[name]) for name in SCORES]
        rises, falls = sum(c.holds for c in alone), sum(c.opposed for c in alone)
        words = f"{rises} of {len(SCORES)} scores have a higher AUROC on far images than on near ones, {falls} a lower"
        return Check(words, 2 * rises > len(SCORES), "near-is-harder", opposed=2 * falls > len(SCORES))

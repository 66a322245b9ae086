"""`rcal`: wrong labels in long-tailed classes, and class Gaussians of contrastive features against both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import negated

SMALL = "small"
FULL, PLAIN, BALANCED = "rcal", "ce-mixup", "balanced-mixup"
WITHOUT: Mapping[str, Mapping[str, Any]] = {
    FULL: {},
    "no-outliers": {"estimator": "plain"},
    "trimmed": {"estimator": "trimmed", "share": 0.4},
    "no-tail": {"beta": 0.0},
    "no-gaussians": {"gaussians": False},
    "no-individual": {"individual": 0.0},
    "no-mixup": {"mixup": 0.0},
}
"""Arm to what differs from all parts of RCAL together."""
ARMS = ("ce", PLAIN, BALANCED, *WITHOUT, "clean")
RARE = 3
"""Classes that are counted as rare: the smallest."""
ERRORS, PROBE, POINT = 2.0, 0.75, 0.01


@row(__file__)
class RCALPaper(Paper):
    """Do calibrated class Gaussians of contrastive features help where classes are long-tailed and labels wrong?

    Fashion-MNIST with an imbalance of 100 between the classes and 40 % of labels made wrong by class frequency. A small
    network is pretrained by SimCLR, without labels, and trained on in eleven ways: cross-entropy, with mixup, with
    balanced sampling, RCAL, RCAL without each of its parts, and balanced with the true labels.
    """

    seeds: PositiveInt = Field(description="seeds of noise and training")
    largest: PositiveInt = Field(description="training images of the largest class")
    ratio: float = Field(ge=1, description="of the largest class to the smallest")
    rate: float = Field(gt=0, lt=1, description="share of wrong labels")
    test: PositiveInt = Field(description="balanced test images")
    choosing: PositiveInt = Field(
        description="further test images: they choose the best epoch, and the linear classifier learns from them"
    )
    pretraining: PositiveInt = Field(description="epochs of SimCLR")
    epochs: PositiveInt = Field(description="epochs of each arm")
    lr: PositiveFloat = Field(description="largest learning rate of each arm, of Adam")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        words = "accuracy of a linear classifier of the features"
        probe = decide("features", words, measured["probe"], above=PROBE, opposed_below=-math.inf)
        checks = [probe]
        if not probe.holds:
            names = ("accuracy", "memorisation", "tail-calibration", "outliers")
            return checks + [
                Check("not judged: the features tell the classes apart too little", False, n) for n in names
            ]
        over = measured["over_seeds"]
        lost = {arm: over["best_minus_last"][arm] for arm in (FULL, PLAIN)}
        words = "accuracy, best epoch minus last, cross-entropy"
        plain = decide("memorisation", words, lost[PLAIN], above=POINT, opposed_below=-math.inf)
        return [
            *checks,
            decide("accuracy", "accuracy, RCAL minus balanced sampling", over[f"{FULL}_minus_{BALANCED}"]),
            decide("memorisation", "accuracy, last epoch minus best, RCAL", negated(lost[FULL]), above=-POINT),
            plain,
            decide("tail-calibration", "accuracy on rare classes, with it minus without", over["rare_minus_no-tail"]),
            decide("outliers", "accuracy, with it minus without", over[f"{FULL}_minus_no-outliers"]),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        accuracy = {arm: figure["value"] for arm, figure in measured["over_seeds"]["accuracy"].items()}
        seeds = [part["gaussians"] for _, part in seeds_in(measured)]
        right = sum(part["given"]["right"][-1] for part in seeds) / len(seeds)
        gains = {arm: accuracy[arm] - accuracy["ce"] for arm in (FULL, BALANCED)}
        return (
            f"Of the {gains[FULL]:+.3f} that RCAL gains on cross-entropy, balanced sampling with mixup has "
            f"{gains[BALANCED]:+.3f}. Of the images with the smallest class's label {right:.0%} are of it. Intervals "
            f"over seeds reach {ERRORS:g} standard errors to either side."
        )

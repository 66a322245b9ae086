"""`rcal`: wrong labels in long-tailed classes, and class Gaussians of contrastive features against both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, seeds_in
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


@register("rcal", reference="Zhang et al. 2023, ICCV, arXiv:2211.10955")
class RCALPaper(Paper):
    """Do calibrated class Gaussians of contrastive features help where classes are long-tailed and labels wrong?

    Fashion-MNIST with an imbalance of 100 between the classes and 40 % of labels made wrong by class frequency. A small
    network is pretrained by SimCLR, without labels, and trained on in eleven ways: cross-entropy, with mixup, with
    balanced sampling, RCAL, RCAL without each of its parts, and balanced with the true labels.
    """

    title: ClassVar[str] = "When Noisy Labels Meet Long Tail Dilemmas: A Representation Calibration Method"
    claim: ClassVar[str] = (
        "With long-tailed and mislabelled data, class Gaussians of unsupervised contrastive representations, estimated "
        "robustly and calibrated by similar large classes, give points that train a better classifier; keeping "
        "representations close to the contrastive ones prevents memorisation."
    )
    summary: ClassVar[str] = "Gaussians of contrastive features balance long-tailed classes in spite of wrong labels."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "features": ClaimPart(
            statement="Contrastive features, which labels have not touched, tell the classes apart.",
            rule="Shown if a linear classifier of them, learned from true labels of balanced images, has an accuracy "
            f"above {PROBE} on others; else there is nothing to estimate, and the other parts are not judged.",
            central=False,
        ),
        "accuracy": ClaimPart(
            statement="RCAL is more accurate than methods for either problem.",
            rule=f"Shown if its accuracy on balanced test images exceeds that of balanced sampling with mixup by more "
            f"than {ERRORS:g} standard errors over seeds; contradicted if it is lower by more.",
        ),
        "memorisation": ClaimPart(
            statement="Individual calibration of representations prevents the memorisation of wrong labels.",
            rule="Shown if RCAL's accuracy after the last epoch is within a point of that at its best epoch and "
            f"cross-entropy with mixup loses more than a point, both by {ERRORS:g} standard errors over seeds; "
            "contradicted if RCAL loses more than a point.",
        ),
        "tail-calibration": ClaimPart(
            statement="Statistics of similar large classes help the small ones.",
            rule=f"Shown if accuracy on the {RARE} rarest classes exceeds that of RCAL without it by more than "
            f"{ERRORS:g} standard errors over seeds; contradicted if it is lower by more.",
            central=False,
        ),
        "outliers": ClaimPart(
            statement="Dropping outliers by the local outlier factor makes the class Gaussians better.",
            rule=f"Shown if accuracy exceeds that of RCAL without it by more than {ERRORS:g} standard errors over "
            "seeds; contradicted if it is lower by more.",
            central=False,
        ),
        "real-noise": ClaimPart(
            statement="It holds for long-tailed CIFAR, mini-WebVision and Clothing1M.",
            untried="one small data set with noise made on purpose; needs those.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "pilot": "32 principal components in the place of contrastive features, imbalance 100: cross-entropy .562, "
        "balanced sampling .679, Gaussians .685, with the local outlier factor .686, with tails calibrated .677, "
        "trimmed .703, true labels .769",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "over_seeds.rcal_minus_balanced-mixup": ("Gain of RCAL on balanced sampling with mixup", "accuracy"),
        "over_seeds.accuracy.rcal": ("RCAL", "accuracy"),
        "over_seeds.accuracy.balanced-mixup": ("Balanced sampling with mixup", "accuracy"),
        "over_seeds.accuracy.ce-mixup": ("Cross-entropy with mixup", "accuracy"),
        "over_seeds.accuracy.no-gaussians": ("RCAL without points of the Gaussians", "accuracy"),
        "over_seeds.accuracy.trimmed": ("RCAL with trimmed statistics", "accuracy"),
        "over_seeds.accuracy.clean": ("Balanced sampling with the true labels", "accuracy"),
        "over_seeds.rare.rcal": ("The three rarest classes, RCAL", "accuracy"),
        "over_seeds.rare.ce-mixup": ("The three rarest classes, cross-entropy with mixup", "accuracy"),
        "probe": ("Linear classifier of contrastive features, true labels", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 24,000 parameters on Fashion-MNIST, pretrained by SimCLR in the place of MoCo.",
        "Constants and the weights of large classes are not published; those of the recipe are used.",
        "The network is pretrained once; seeds differ in the noise and in the training on labels.",
        "The best epoch is chosen on test images apart from those that are reported. From these the linear classifier "
        "that judges the features learns as well: 3,000 at the quick scale, for 1,000 are too few for its 64 features.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "epochs": {"epoch": "int32", "correct": "int32", "n": "int32"},
        "memorised": {"epoch": "int32", "memorised": "double", "corrected": "double", "fitted": "double"},
        "probe": {"correct": "int32"},
        "gaussians": {"samples": "int32", "right": "double", "normality": "double", "apart": "double"},
    }
    chooses: ClassVar[Mapping[str, str]] = {"epochs": "*.choosing"}

    full: ClassVar[Mapping[str, Any]] = {"largest": 2000, "test": 6000, "choosing": 4000, "epochs": 12, "seeds": 5}

    seeds: PositiveInt = Field(3, description="seeds of noise and training")
    largest: PositiveInt = Field(1200, description="training images of the largest class")
    ratio: float = Field(100.0, ge=1, description="of the largest class to the smallest")
    rate: float = Field(0.4, gt=0, lt=1, description="share of wrong labels")
    test: PositiveInt = Field(3000, description="balanced test images")
    choosing: PositiveInt = Field(
        3000, description="further test images: they choose the best epoch, and the linear classifier learns from them"
    )
    pretraining: PositiveInt = Field(40, description="epochs of SimCLR")
    epochs: PositiveInt = Field(8, description="epochs of each arm")
    lr: PositiveFloat = Field(2e-3, description="largest learning rate of each arm, of Adam")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        probe = decide("features", "accuracy of a linear classifier of the features", measured["probe"], above=PROBE)
        checks = [replace(probe, opposed=False)]
        if not probe.holds:
            names = ("accuracy", "memorisation", "tail-calibration", "outliers")
            return checks + [
                Check("not judged: the features tell the classes apart too little", False, n) for n in names
            ]
        over = measured["over_seeds"]
        lost = {arm: over["best_minus_last"][arm] for arm in (FULL, PLAIN)}
        plain = decide("memorisation", "accuracy, best epoch minus last, cross-entropy", lost[PLAIN], above=POINT)
        return [
            *checks,
            decide("accuracy", "accuracy, RCAL minus balanced sampling", over[f"{FULL}_minus_{BALANCED}"]),
            decide("memorisation", "accuracy, last epoch minus best, RCAL", negated(lost[FULL]), above=-POINT),
            replace(plain, opposed=False),
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

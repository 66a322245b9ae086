"""`detection-suite`: many scores of abnormality side by side, on images near to the normal ones and far from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

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
GAIN, CLEAR = 0.02, 0.1


@register("detection-suite", reference="Zhang et al. 2023, arXiv:2306.09301")
class DetectionSuitePaper(Paper):
    """Does one score of abnormality win on near and on far images alike?

    Small networks that never see two classes of CIFAR-10: those two (near), data of another kind (far), noise,
    corrupted and attacked images, by seventeen scores from one pass.
    """

    title: ClassVar[str] = "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection"
    claim: ClassVar[str] = (
        "No score of abnormality wins everywhere: the order of the scores differs between near and far images, so "
        "that all of them are to be run, on one protocol."
    )
    summary: ClassVar[str] = "No score of abnormality wins on near and on far images alike."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "no-best-score": ClaimPart(
            statement="The score that is best on far images is not the one that is best on near images.",
            rule="Scores are chosen by their mean AUROC over the seeds on one half of the images, and judged on the "
            "other half. Shown if the one chosen on far images has a higher AUROC there than the one chosen on near "
            "images, and a lower one on near images, both by intervals over the seeds; contradicted if one of the two "
            "is the other way.",
        ),
        "beyond-softmax": ClaimPart(
            statement="A score that was made for the purpose finds far images better than the softmax does.",
            rule=f"Shown if the score chosen on far images exceeds the AUROC of the maximum softmax probability there "
            f"by more than {GAIN}, on the half of the images that it was not chosen on; contradicted if it is lower.",
        ),
        "near-is-harder": ClaimPart(
            statement="Near images are harder to find than far ones.",
            rule="Shown if more than half of the scores have a higher AUROC on far images than on near ones, each by "
            "its interval over the seeds; contradicted if more than half have a lower one.",
        ),
        "corrupted": ClaimPart(
            statement="Where normal images that are only corrupted count as normal, detection is worse.",
            rule="Shown if the AUROC on far images of the score chosen there falls when images with JPEG artefacts and "
            "blur join the normal ones; contradicted if it rises.",
            central=False,
        ),
        "noise": ClaimPart(
            statement="Scores of the logits fail on noise, on which networks are confident; distances do not.",
            rule=f"Shown if on noise the AUROC of knn exceeds that of msp, and that of energy, by more than {CLEAR}; "
            "contradicted if it is lower.",
            central=False,
        ),
        "networks": ClaimPart(
            statement="The order of the scores also differs between data sets, and between kinds of networks.",
            untried="one data set and one network are run; needs ImageNet and a transformer with their far sets.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ResNet-18 on CIFAR-10, AUROC near / far: MSP 88.0 / 90.7, energy 87.6 / 91.2, KNN 90.6 / 93.0, "
        "ViM 88.7 / 93.5, ASH 75.3 / 78.5; on ImageNet-1k with ResNet-50: MSP 76.0 / 85.2, KNN 71.1 / 90.2, "
        "ASH 78.2 / 95.7",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "far_gain": ("Far images: score chosen there minus the one chosen on near", "AUROC"),
        "near_gain": ("Near images: score chosen there minus the one chosen on far", "AUROC"),
        "over_softmax": ("On far images: the score chosen there minus the softmax", "AUROC"),
        "auroc.msp.far": ("Maximum softmax probability, far", "AUROC"),
        "auroc.msp.near": ("Maximum softmax probability, near", "AUROC"),
        "auroc.knn.far": ("Nearest neighbours, far", "AUROC"),
        "auroc.knn.near": ("Nearest neighbours, near", "AUROC"),
        "auroc.knn.noise": ("Nearest neighbours, noise", "AUROC"),
        "auroc.msp.noise": ("Maximum softmax probability, noise", "AUROC"),
        "with_corrupted": ("Far images: what corrupted normal ones cost the chosen score", "AUROC"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 52,000 parameters on eight classes of CIFAR-10; the other two are the near images.",
        "Far images are grey pictures of Fashion-MNIST, and of MNIST where it is installed, in the size of CIFAR-10.",
        "Parameters of the scores are the usual ones and are not tuned on a validation set.",
        "Figures on attacked images are of those that fool the network, by attacks that do not know of the score.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "small-cnn"

    seeds: int = Field(3, ge=2, description="networks")
    train: PositiveInt = Field(12_000, description="training images, of which those of two classes are left out")
    epochs: PositiveInt = Field(8, description="of training")
    images: int = Field(1000, ge=8, description="images of each test set, half to choose scores by, half to judge by")
    neighbours: PositiveInt = Field(50, description="k of knn")

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
        for other in ("msp", "energy"):
            words = f"noise: AUROC of knn minus {other}"
            checks.append(decide("noise", words, measured["on_noise"][other], above=CLEAR, opposed_below=0.0))
        return checks

    def _harder(self, harder: Mapping[str, Any]) -> Check:
        """Whether near images are harder for most scores."""
        alone = [decide("near-is-harder", name, harder[name]) for name in SCORES]
        rises, falls = sum(c.holds for c in alone), sum(c.opposed for c in alone)
        words = f"{rises} of {len(SCORES)} scores have a higher AUROC on far images than on near ones, {falls} a lower"
        return Check(words, 2 * rises > len(SCORES), "near-is-harder", opposed=2 * falls > len(SCORES))

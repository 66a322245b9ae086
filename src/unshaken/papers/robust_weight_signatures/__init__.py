"""`robust-weight-signatures`: robustness as a patch of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, across_seeds, decide, seeds_in

ALLOWED = 0.05
"""Clean accuracy on validation images that a patch may cost to be chosen."""
RANDOM = 3
"""Random patches of equal norms."""
LAYERS = 6
"""Convolutions of the network, those that a patch may have."""
SHARE, LOSS, ROUNDED = 0.5, 0.06, 0.01


@register("robust-weight-signatures", reference="Cai et al. 2023, arXiv:2302.12480")
class RobustWeightSignaturesPaper(Paper):
    """Can the robustness of fine-tuned weights be added to others as a small patch of their first layers?

    Six convolutions without norms, pretrained and fine-tuned here on CIFAR-10; noise in all seeds, blur, contrast, two
    patches at once and the transfer between classes in the first. For weights of one's own there is
    `unshaken.harden.surgery.surgery`.
    """

    title: ClassVar[str] = "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?"
    claim: ClassVar[str] = (
        "The difference between weights fine-tuned on corrupted and on clean data, with the direction of clean "
        "fine-tuning projected out, is a signature that lives in the first layers and can be added to a clean model, "
        "scaled, combined, quantised and moved to other data: robustness becomes a small file."
    )
    summary: ClassVar[str] = "Robustness can be added to trained weights as a small patch of the first layers."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "gain": ClaimPart(
            statement="Adding the signature to clean weights gives them most of the robustness of weights that were "
            "fine-tuned on the corruption.",
            rule="Under noise of deviation 0.2 on test images, layers and alpha being those of highest accuracy under "
            "noise with a clean loss below 5 points on validation images: shown if over the seeds the patch gains "
            "accuracy, and more than half of what the robust weights gain; contradicted if it loses accuracy.",
        ),
        "clean-cost": ClaimPart(
            statement="The patched weights keep their accuracy on clean images.",
            rule="Shown if over the seeds the patch costs less than 6 points of clean accuracy; contradicted if more.",
        ),
        "control": ClaimPart(
            statement="The signature does it, not the size of the change.",
            rule="Shown if over the seeds the patch gains more under noise than the best of three random patches of "
            "equal norm per tensor; contradicted if it gains less.",
        ),
        "first-layers": ClaimPart(
            statement="The signature lives in the first layers.",
            rule="Shown if in every seed the patch that is chosen on validation images leaves out some of the six "
            "layers.",
        ),
        "small-file": ClaimPart(
            statement="Robustness becomes a small file, up to 13 times smaller than the weights.",
            rule="Shown if over the seeds the patch, not quantised, is smaller than all weights; contradicted if it "
            "is larger.",
            central=False,
        ),
        "projection": ClaimPart(
            statement="What is added is the part of the change that clean fine-tuning does not explain, more than a "
            "mixture of two networks.",
            rule="Shown if over the seeds the patch gains more under noise, with the same layers and alpha, than the "
            "plain difference of weights, and, with the same alpha, than interpolation of all weights; contradicted "
            "if it gains less than either.",
            central=False,
        ),
        "quantised": ClaimPart(
            statement="The signature can be quantised.",
            rule="Shown if over the seeds 16 levels a tensor cost the patch less than 1 point, under noise and on "
            "clean images; contradicted if more.",
            central=False,
        ),
        "scaled": ClaimPart(
            statement="The signature can be scaled, and removed again.",
            untried="Accuracy by alpha is kept of validation images alone, without an interval; needs test images at "
            "each alpha.",
            central=False,
        ),
        "other-corruptions": ClaimPart(
            statement="The same holds of other corruptions.",
            untried="Blur and contrast were tried in the first seed alone, which says no more than that seed; needs a "
            "run with them in all seeds.",
            central=False,
        ),
        "combined": ClaimPart(
            statement="Signatures of two corruptions can be added together.",
            untried="Tried in the first seed alone, with noise and blur; needs a run with both in all seeds.",
            central=False,
        ),
        "moved": ClaimPart(
            statement="A signature can be moved to weights that were fine-tuned on other data.",
            untried="Tried in the first seed alone, between halves of the classes; needs a run in all seeds and "
            "other data.",
            central=False,
        ),
        "identifies": ClaimPart(
            statement="Signatures of similar corruptions are alike, also between data sets.",
            untried="Three corruptions and one transfer in one seed; needs several signatures of each corruption.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "a signature is up to 13 times smaller than a full copy; no table of accuracies is at hand",
        "mean": {"recovered": "0.62 and 0.57 (pilot, two seeds)", "clean_loss": "0.050 and 0.047 (pilot, two seeds)"},
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "mean.recovered": ("Share of the robust weights' gain that the patch recovers", "share of the gain"),
        "mean.gain": ("Under noise, gained by the patch", "accuracy"),
        "mean.random_gain": ("Under noise, gained by the best random patch", "accuracy"),
        "mean.interpolated_gain": ("Under noise, gained by interpolating all weights", "accuracy"),
        "mean.quantised_gain": ("Under noise, gained by the patch in 16 levels", "accuracy"),
        "mean.clean_loss": ("Clean accuracy lost by the patch", "accuracy"),
        "mean.base_changed": ("Clean weights, under noise", "accuracy"),
        "mean.robust_changed": ("Robust weights, under noise", "accuracy"),
        "mean.base_clean": ("Clean weights, clean images", "accuracy"),
        "seed*.weights.size.ratio": ("Times that the patch is smaller than all weights", "ratio"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Six convolutions without norms on CIFAR-10 in the place of VGG-16 and ResNet-50.",
        "Figures are means over seeds, for noise of deviation 0.2; blur, contrast, two patches at once and transfer "
        "between classes were tried in the first seed.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "six convolutions"
    chooses: ClassVar[Mapping[str, str]] = {"trials": "*"}
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "trials": {"layers": "int32", "alpha": "double", "clean": "double", "robust": "double"},
        "weights": {"value": "double"},
    }

    seeds: PositiveInt = Field(3, description="seeds of training")
    pretraining: PositiveInt = Field(12_000, description="images of the pretraining, at most 3/5 of all")
    tuning: PositiveInt = Field(8_000, description="other images of each fine-tuning")
    validation: PositiveInt = Field(2_000, description="images that choose layers and alpha")
    test: PositiveInt = Field(4_000, description="images that the figures are of")
    epochs: PositiveInt = Field(5, description="epochs of the pretraining")
    tuning_epochs: PositiveInt = Field(3, description="epochs of each fine-tuning")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`."""
        seeds = [part for _, part in seeds_in(measured)]

        def changed(label: str, what: str = "changed") -> list[float]:
            return [part["noise"][label][what]["value"] for part in seeds]

        base, patched, clean = changed("base"), changed("patched"), changed("patched", "clean")
        gains = _less(patched, base)
        halves = [SHARE * gain for gain in _less(changed("robust"), base)]
        random = [max(values) for values in zip(*(changed(f"random{i}") for i in range(RANDOM)), strict=True)]
        quantised = {
            "noise": _less(changed("quantised"), patched),
            "clean": _less(changed("quantised", "clean"), clean),
        }
        checks = [
            decide("gain", "accuracy under noise, patched minus clean weights", across_seeds(gains)),
            decide(
                "gain",
                "the same, beyond half of the robust weights' gain",
                across_seeds(_less(gains, halves)),
                opposed_below=-1,
            ),
            decide(
                "clean-cost",
                "accuracy on clean images, patched minus clean weights",
                across_seeds(_less(clean, changed("base", "clean"))),
                above=-LOSS,
            ),
            decide(
                "control", "accuracy under noise, patch minus best random patch", across_seeds(_less(patched, random))
            ),
        ]
        for name, part in seeds_in(measured):
            layers = part["noise"]["layers"]
            words = f"{name}: {layers} of {LAYERS} layers are chosen"
            checks.append(Check(words, 0 < layers < LAYERS, "first-layers"))
        ratios = [part["weights"]["size.ratio"] for part in seeds]
        checks.append(
            decide(
                "small-file",
                "times that the patch is smaller than all weights",
                across_seeds(ratios, low=0.0, high=math.inf),
                above=1.0,
                opposed_below=1.0,
            )
        )
        for label, words in (("plain", "the plain difference"), ("interpolated", "interpolation")):
            gap = across_seeds(_less(patched, changed(label)))
            checks.append(decide("projection", f"accuracy under noise, patch minus {words}", gap))
        for where, lost in quantised.items():
            words = f"accuracy, {where}, 16 levels minus the patch as it is"
            checks.append(decide("quantised", words, across_seeds(lost), above=-ROUNDED))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """The patch beside plain interpolation."""
        mean = measured["mean"]
        return (
            f"At the same alpha, interpolating all weights gains {mean['interpolated_gain']:+.3f} at a clean loss of "
            f"{mean['interpolated_loss']:.3f}, the patch {mean['gain']:+.3f} at {mean['clean_loss']:.3f}."
        )


def _less(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Differences, seed by seed."""
    return [a - b for a, b in zip(first, second, strict=True)]

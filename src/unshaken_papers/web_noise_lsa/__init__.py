"""`web-noise-lsa`: images of no class among the training images, found by a line or by their loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, seeds_in
from unshaken.papers.effects import unpaired

SMALL = "small"
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
ARMS: Mapping[str, str] = {
    "ce": "",
    "small-loss": "loss",
    "linear": "linear",
    "alternate": "linear+loss",
    "oracle": "oracle",
}
"""Arm to its detectors in turn; cross-entropy has none."""
CONTROL = "control"
GAIN, ALIKE = 0.03, 0.6


@register("web-noise-lsa", reference="Albert et al. 2024, ECCV, arXiv:2407.05528")
class WebNoisePaper(Paper):
    """Does an accurate detector of images of no class make a better classifier, and does it help to alternate?

    Six classes of CIFAR-10 (the animals) with 40 % of their training images replaced by those of the other four, and
    10 % of labels flipped. A small network is pretrained by SimCLR and trained on by cross-entropy and by PLS with four
    detectors. A random partition of the classes, one seed of it, is the control: animals and vehicles lie far apart.
    """

    title: ClassVar[str] = "An accurate detection is not all you need to combat label noise in web-noisy datasets"
    claim: ClassVar[str] = (
        "In features of unsupervised contrastive pretraining, images of the classes and images of none are almost "
        "linearly separable: logistic regression detects noise far better than the loss. Alone it does not raise "
        "accuracy; alternating it with the loss does."
    )
    summary: ClassVar[str] = "A line in contrastive features finds web noise; alternating it with the loss trains best."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "detection": ClaimPart(
            statement="Linear separation in contrastive features detects images of no class better than the loss.",
            rule=f"Shown if the AUROC of its score exceeds that of small loss by more than {GAIN}, by the mean over "
            f"seeds and its standard error, and the rank correlation of the two scores is below {ALIKE} in every seed; "
            "contradicted if it is below.",
        ),
        "surprise": ClaimPart(
            statement="This better detection alone does not make a more accurate classifier.",
            rule="Shown if the mean accuracy with linear separation alone is not above that with small loss alone by "
            "more than the standard error over seeds; contradicted if it is.",
        ),
        "method": ClaimPart(
            statement="Alternating both detectors makes a more accurate classifier than either.",
            rule="Shown if the mean accuracy is above those of both by more than the standard error over seeds; "
            "contradicted if it is below one by more.",
        ),
        "separable": ClaimPart(
            statement="The features do separate images of no class: a line fitted to known images finds the others.",
            rule="Shown if a line that is fitted to 500 images known to be right or wrong finds images of no class, "
            f"among the others, with an AUROC that exceeds that of small loss by more than {GAIN}, by the mean over "
            "seeds and its standard error; contradicted if it is below.",
            central=False,
        ),
        "any-classes": ClaimPart(
            statement="The separation does not hang on animals beside vehicles.",
            rule="Shown if, on a random partition of the classes, the AUROC of linear separation exceeds that of small "
            f"loss by more than {GAIN}, by intervals that are apart; contradicted if it is below.",
            central=False,
        ),
        "co-training": ClaimPart(
            statement="Two networks that track each other's guesses (PLS-LSA+) are better still.",
            untried="the recipe trains one network; needs its co-trained variant.",
            central=False,
        ),
        "web-noise": ClaimPart(
            statement="It holds for real web noise: CNWL, mini-WebVision, Web-Aircraft, -Bird and -Car.",
            untried="the noise is made here of images of other classes; needs those data sets.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "CNWL 32x32, top-1 at 20/40/60/80 % noise: mixup 49.10/46.40/40.58/33.58, PLS "
        "63.25/60.42/55.34/48.03, PLS-LSA 64.43/61.14/57.18/49.53 (best epoch on the test split)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "over_seeds.detection": ("Images of no class, gain of linear separation on small loss", "AUROC"),
        "seed*.linear.auroc.ood": ("Images of no class, by linear separation", "AUROC"),
        "seed*.small-loss.auroc.ood": ("Images of no class, by small loss", "AUROC"),
        "seed*.known.linear": ("Images of no class, by a line fitted to known images", "AUROC"),
        "seed*.small-loss.auroc.flips": ("Flipped labels, by small loss", "AUROC"),
        "seed*.accuracy.alternate": ("Alternating detectors", "accuracy"),
        "seed*.accuracy.linear": ("Linear separation alone", "accuracy"),
        "seed*.accuracy.small-loss": ("Small loss alone", "accuracy"),
        "seed*.accuracy.oracle": ("Wrong images known", "accuracy"),
        "seed*.accuracy.ce": ("Cross-entropy", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 24,000 parameters on six classes of CIFAR-10; images of no class are those of the other four.",
        "Few epochs in the place of 200; accuracy is that of the last epoch, not of the best one on the test images. "
        "Tried, with one seed: 40 epochs, after which cross-entropy is still above PLS with all wrong images known.",
        "The strong view of doubted images is a crop with changed colours, without RandAugment.",
        "Both detectors are compared on the network that was trained with both in turn, after its last epoch.",
        "Small loss is ranked by the loss itself, which ranks better than the posterior of its mixture model.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "detections": {
            "kind": "string", "small_loss": "double", "linear": "double", "loss": "double", "edges": "double",
            "known": "bool", "linear_known": "double",
        }
    }  # fmt: skip

    full: ClassVar[Mapping[str, Any]] = {"train": 6000, "test": 6000, "epochs": 12, "control_seeds": 3}

    seeds: PositiveInt = Field(3, description="seeds of noise and training")
    control_seeds: PositiveInt = Field(1, description="seeds of the random partition")
    train: PositiveInt = Field(2400, description="training images, those of no class among them")
    test: PositiveInt = Field(1500, description="test images of the classes")
    rate: float = Field(0.4, gt=0, lt=1, description="share of training images that are of no class")
    flips: float = Field(0.1, ge=0, lt=0.5, description="share of training images with the label of another class")
    pretraining: PositiveInt = Field(15, description="epochs of SimCLR")
    epochs: PositiveInt = Field(10, description="epochs of each arm")
    known: PositiveInt = Field(500, description="training images that are known to be right or wrong, for `separable`")
    stage: int = Field(1, ge=0, le=2, description="stage whose features are separated, from 0")
    lr: PositiveFloat = Field(0.05, description="largest learning rate of each arm")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        over = measured["over_seeds"]
        rho = max(abs(part["rho"]) for _, part in seeds_in(measured))
        words = "AUROC for images of no class, linear separation minus small loss"
        alike = f"largest rank correlation of the two scores: {rho:.3f} (wanted below {ALIKE})"
        checks = [
            decide("detection", words, over["detection"], above=GAIN),
            Check(alike, rho < ALIKE, "detection"),
            decide("separable", "the same, of a line fitted to known images", over["separable"], above=GAIN),
            self._not_above(
                "accuracy, linear separation alone minus small loss alone", over["linear_minus_small-loss"]
            ),
        ]
        checks += [
            decide("method", f"accuracy, alternating minus {other} alone", over[f"alternate_minus_{other}"])
            for other in ("small-loss", "linear")
        ]
        for name, part in measured[CONTROL].items():
            effect = unpaired(part["linear"]["auroc"]["ood"], part["small-loss"]["auroc"]["ood"])
            checks.append(decide("any-classes", f"{name}, {words}", effect, above=GAIN))
        return checks

    def _not_above(self, words: str, effect: Mapping[str, Any]) -> Check:
        value, low = effect["value"], effect["low"]
        known = low is not None
        text = f"{words}: {value:+.4f} (one standard error down: {low:+.4f})" if known else f"{words}: one seed alone"
        return Check(text, known and low <= 0, "surprise", known and low > 0)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part["clean_images"] for _, part in seeds_in(measured)]
        dropped, kept = (sum(p[k]["loss"] for p in seeds) / len(seeds) for k in ("dropped", "kept"))
        return (
            f"Right images that linear separation drops have a mean loss of {dropped:.2f}, those that it keeps one of "
            f"{kept:.2f}. {self._reasons(measured)} Intervals over seeds reach one standard error to either side."
        )

    def _reasons(self, measured: Mapping[str, Any]) -> str:
        """Whether small loss gives the line sets to learn from, and PLS anything to gain."""
        seeds = [part for _, part in seeds_in(measured)]
        flagged, every = (fmean(part["trusted"][k] for part in seeds) for k in ("of_flagged", "of_all"))
        told, plain = (fmean(part["accuracy"][arm]["value"] for part in seeds) for arm in ("oracle", "ce"))
        return (
            f"Of the images that small loss takes for wrong, from which the line learns, {flagged:.0%} are of no "
            f"class; of all images {every:.0%}. With all wrong images known the recipe reaches an accuracy of "
            f"{told:.3f}, cross-entropy {plain:.3f}: where the first is not above, a better detector cannot show in it."
        )

"""`web-noise-lsa`: images of no class among the training images, found by a line or by their loss."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in

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
ALIKE = 0.6


@row(__file__)
class WebNoisePaper(Paper):
    """Does an accurate detector of images of no class make a better classifier, and does it help to alternate?

    Six classes of CIFAR-10 (the animals) with 40 % of their training images replaced by those of the other four, and
    10 % of labels flipped. A small network is pretrained by SimCLR and trained on by cross-entropy and by PLS with four
    detectors. A random partition of the classes, one seed of it, is the control: animals and vehicles lie far apart.
    """

    seeds: PositiveInt = Field(description="seeds of noise and training")
    control_seeds: PositiveInt = Field(description="seeds of the random partition")
    train: PositiveInt = Field(description="training images, those of no class among them")
    test: PositiveInt = Field(description="test images of the classes")
    rate: float = Field(gt=0, lt=1, description="share of training images that are of no class")
    flips: float = Field(ge=0, lt=0.5, description="share of training images with the label of another class")
    pretraining: PositiveInt = Field(description="epochs of SimCLR")
    epochs: PositiveInt = Field(description="epochs of each arm")
    known: PositiveInt = Field(description="training images that are known to be right or wrong, for `separable`")
    stage: int = Field(ge=0, le=2, description="stage whose features are separated, from 0")
    lr: PositiveFloat = Field(description="largest learning rate of each arm")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        over = measured["over_seeds"]
        rho = max(abs(part["rho"]) for _, part in seeds_in(measured))
        alike = f"largest rank correlation of the two scores: {rho:.3f} (wanted below {ALIKE})"
        return [
            *super().judge(measured),
            Check(alike, rho < ALIKE, "detection"),
            decide("surprise", "AUROC, linear separation minus small loss", over["detection"], opposed_below=-1.0),
            self._not_above(
                "accuracy, linear separation alone minus small loss alone",
                over["linear_minus_small-loss"],
            ),
        ]

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
        names = ("largest", "by_posterior", "posterior", "of_all")
        largest, few, posterior, every = (fmean(part["suspect"][k] for part in seeds) for k in names)
        informed, plain = (fmean(part["accuracy"][arm]["value"] for part in seeds) for arm in ("oracle", "ce"))
        return (
            f"Of the images of the largest losses, from which the line learns, {largest:.0%} are of no class; of all "
            f"images {every:.0%}. A posterior above 0.95 flags {few:.0%} of the images, of which {posterior:.0%} are "
            f"of no class. With all wrong images known the recipe reaches an accuracy of {informed:.3f}, cross-entropy "
            f"{plain:.3f}: where the first is not above, a better detector cannot show in it."
        )

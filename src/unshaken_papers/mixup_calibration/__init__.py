"""`mixup-calibration`: one temperature cannot calibrate a memorising network where many classes overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row
from unshaken.papers.effects import unpaired

NETS: Mapping[str, int] = {"erm": 1, "mixup": 2, "mixup4": 4}
"""Names to M, images in each mixture."""
CLASSES = (2, 10, 40, 100)
OVERLAPS = (0.2, 0.6)
SEPARATIONS = (4.34, 0.87, 0.17)
RATES = (0.0, 0.2, 0.4)

SMALL, LARGE = f"{min(OVERLAPS):g}", f"{max(OVERLAPS):g}"
WORST = f"{max(RATES):g}"
ENOUGH = 40
INTERPOLATES = 0.99


@row(__file__)
class MixupCalibrationPaper(Paper):
    """Does one temperature fail to calibrate plain training where many classes overlap, and does mixup help?

    Points whose posterior is known, so that calibration is a KL divergence; two Gaussians; and small images with
    flipped labels (`--data`, and an architecture's name as `--model`). Each as the square {plain, mixup} x {raw,
    temperature}.
    """

    seeds: int = Field(ge=2, description="repetitions")
    largest: PositiveInt = Field(description="the most classes, of 2, 10, 40 and 100")
    epochs: PositiveInt = Field(description="of networks on points in pairs")
    gaussian_epochs: PositiveInt = Field(description="of networks on two Gaussians")
    each: PositiveInt = Field(description="points of each class, where all classes have as many")
    photos: NonNegativeInt = Field(description="training images with flipped labels; 0 leaves this part out")
    photo_epochs: PositiveInt = Field(description="of networks on them")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        pairs = measured["pairs"]
        counts = [k for k in CLASSES if str(k) in pairs]
        return [
            *self._with_the_most(counts[-1], pairs[str(counts[-1])]),
            *self._rising(counts, pairs),
            *super().judge(measured),
            *_logarithm(counts, measured["evenly"]),
            *_wrong_labels(measured["photos"]),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        if WORST not in measured["photos"]:
            return ""
        at = measured["photos"][WORST]
        raw, fitted = ([at[net]["noisy_labels"][way]["nll"] for net in ("erm", "mixup")] for way in ("raw", "ts"))
        return (
            f"With {WORST} of the labels wrong the NLL is {raw[0]:.2f} after plain training and {raw[1]:.2f} after "
            f"mixup without a temperature, {fitted[0]:.2f} and {fitted[1]:.2f} at fitted ones; {fitted[0]:.2f} and "
            f"{raw[1]:.2f} are those that the publication compares."
        )

    def _with_the_most(self, count: int, most: Mapping[str, Any]) -> list[Check]:
        """Checks at the largest number of classes."""
        if count < ENOUGH:
            words = f"{count} classes at the most, {ENOUGH} wanted"
            return [Check(words, False, name) for name in ("one-temperature", "grows-with-overlap", "mixup")]
        at, plain, mixed = most[LARGE], most[LARGE]["erm"], most[LARGE]["mixup"]
        growth = unpaired(plain["kl_oracle"], most[SMALL]["erm"]["kl_oracle"])
        raw = unpaired(plain["kl_ts"], mixed["kl_raw"])
        return [
            _repeats("one-temperature", f"{count} classes", plain["train_accuracy"]),
            decide("one-temperature", f"{count} classes, oracle's temperatures, plain minus mixup", at["gap_oracle"]),
            decide("grows-with-overlap", f"{count} classes, plain, overlap {LARGE} minus {SMALL}, not paired", growth),
            decide("mixup", f"{count} classes, plain at a fitted temperature minus mixup without one, not paired", raw),
            decide("mixup", f"{count} classes, plain minus mixup, each at a fitted temperature", at["gap_ts"]),
        ]

    def _rising(self, counts: Sequence[int], pairs: Mapping[str, Any]) -> list[Check]:
        """Whether error and difference rise from each number of classes to the next."""
        name = "grows-with-classes"
        checks = [Check(f"{counts[-1]} classes at the most, {ENOUGH} wanted", counts[-1] >= ENOUGH, name)]
        for few, more in pairwise(counts):
            low, high = pairs[str(few)][LARGE], pairs[str(more)][LARGE]
            words = f"{more} classes minus {few}, not paired"
            kl = unpaired(high["erm"]["kl_oracle"], low["erm"]["kl_oracle"])
            gap = unpaired(high["gap_oracle"], low["gap_oracle"])
            checks += [decide(name, f"plain, {words}", kl), decide(name, f"plain minus mixup, {words}", gap)]
        return checks


def _repeats(part: str, where: str, known: float) -> Check:
    """Whether plain training memorised its labels, as the claim supposes."""
    words = f"{where}, plain training repeats {known:.2%} of its labels, {INTERPOLATES:.0%} wanted"
    return Check(words, known > INTERPOLATES, part)


def _logarithm(counts: Sequence[int], evenly: Mapping[str, Any]) -> list[Check]:
    """Whether the error grows with the logarithm of the number of classes; nothing of fewer than three numbers."""
    name = "logarithm"
    if len(counts) < 3:
        return [Check(f"{len(counts)} numbers of classes, 3 wanted for a line", False, name)]
    return [
        *(_repeats(name, f"{k} classes", evenly[str(k)]["train_accuracy"]) for k in counts),
        decide(name, "KL of plain training for each e-fold of the number of classes", evenly["slope"]),
        decide(name, "share of the variance explained, by the logarithm minus by the number", evenly["better_by"]),
    ]


def _wrong_labels(photos: Mapping[str, Any]) -> list[Check]:
    """Photos with wrong labels; none where they were left out."""
    if WORST not in photos:
        return []
    at, name, where = photos[WORST], "wrong-labels", f"{WORST} of the labels wrong"
    return [
        _repeats(name, where, at["erm"]["train"]["train_accuracy"]),
        decide(name, f"{where}, NLL at a fitted temperature, plain minus mixup", at["gap_ts"]),
        decide(name, "the same, less that without wrong labels", at["growth_ts"]),
    ]

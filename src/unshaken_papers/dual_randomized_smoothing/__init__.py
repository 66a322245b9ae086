"""`dual-randomized-smoothing`: two halves of the pixels smoothed apart, against smoothing with as many passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

NETS = ("full", "left", "right")
POLLS = ("rs", "more", "left", "right")
"""Whole images, as many votes again on whole images, the halves."""

LOSS_PER_PASS = 0.05
LOSS_PER_VOTE = 0.03


@row(__file__)
class DualRandomizedSmoothingPaper(Paper):
    """Does the sum of two networks, each smoothed on half of the pixels, certify more than one smoothed network?

    Networks of 19,000 parameters on Fashion-MNIST: one trained on whole images with noise, two on the halves with noise
    that is smaller by the square root of 2; two noise levels, three seeds. With an architecture of one's own, by name,
    that is trained in their place; with three networks of one's own, given as `WHOLE|LEFT|RIGHT`, these as they are.
    """

    sigmas: tuple[PositiveFloat, ...] = Field(
        description="noise on whole images; halves have this over the square root of 2; as text 0.5+0.25"
    )
    train: PositiveInt = Field(description="training images, a stratified subset")
    epochs: PositiveInt = Field(description="of each network")
    seeds: PositiveInt = Field(description="seeds of training and noise")
    certified: PositiveInt = Field(description="test images that are certified")
    test: PositiveInt = Field(description="test images for the accuracy under noise")
    n: PositiveInt = Field(description="fresh votes a half")
    n0: PositiveInt = Field(description="votes a half that choose the class")
    alpha: float = Field(gt=0, lt=0.5, description="failure probability of a certificate")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [
            check
            for sigma in self.sigmas
            for check in (*_certificate(sigma, measured[f"s{sigma:g}"]), *_gains(sigma, measured[f"s{sigma:g}"]))
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        largest = {sigma: measured[f"s{sigma:g}"]["largest"] for sigma in self.sigmas}
        words = "; ".join(
            f"{sigma:g}: {found['possible']:.4f} and {found['possible_smoothing']:.4f}"
            for sigma, found in largest.items()
        )
        return (
            f"The largest radii that the votes allow, dual and plain smoothing with as many passes, by sigma: {words}."
        )


def _certificate(sigma: float, level: Mapping[str, Any]) -> list[Check]:
    above, images, largest = level["released_below_sound"], level["images_and_seeds"], level["largest"]
    met, possible, alike = (largest[name] for name in ("met", "possible", "all_votes_alike"))
    words = f"sigma {sigma:g}: largest radius {met:.4f} of {possible:.4f}, {alike} with all votes alike"
    fits = met == possible if alike else met < possible
    return [
        Check(
            f"sigma {sigma:g}: radii above those of the released rule: {above} of {images}", above == 0, "certificate",
            opposed=above > 0,
        ),
        Check(words, fits, "certificate", opposed=met > possible),
    ]  # fmt: skip


def _gains(sigma: float, level: Mapping[str, Any]) -> list[Check]:
    acr, minus = level["mean"]["acr"], level["mean"]["dual_minus"]
    checks = []
    for part, arm, loss in (("more-per-vote", "rs_n", LOSS_PER_VOTE), ("more-per-pass", "rs_2n", LOSS_PER_PASS)):
        words = f"sigma {sigma:g}: average certified radius {acr['dual']:.3f} less {acr[arm]:.3f}"
        checks.append(decide(part, words, minus[arm]))
        checks.append(decide("no-large-loss", words, minus[arm], above=-loss))
    return checks

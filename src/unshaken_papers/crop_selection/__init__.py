"""`crop-selection`: RICS, robust inference by crop selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, decide_near, row
from unshaken.papers.effects import constant, unpaired

TOLERANCE = 0.06
COST = 0.03
RARE = 0.03
"""Share of failures below which further shifts are judged."""
LOW = 0.05
"""Share of failures that counts as rare with selection, as published."""
FAR = 4
"""Pixels of these further shifts."""
SCORES = ("hash", "laplacian", "random_filter", "box_energy", "box_mean")
WINDOW, CROPS = 28, (24, 22, 20)
"""Sides in pixels on CIFAR-10."""


@row(__file__)
class CropSelectionPaper(Paper):
    """Does a crop chosen by content make labels stand one-pixel shifts of the camera, at a small cost in accuracy?

    Photos: windows of 256 in photos of short side 288, the four neighbours at one pixel. CIFAR-10: windows of 28 in 32,
    the eight neighbours, small strided networks. With data or a model of one's own the second part is left out.
    """

    photos: PositiveInt = Field(description="photos at most, a stratified subset")
    far_photos: PositiveInt = Field(description="photos for shifts of up to 4 pixels, where these are needed")
    cifar_photos: PositiveInt = Field(description="CIFAR-10 test photos of each seed")
    images: PositiveInt = Field(description="CIFAR-10 training images of each seed")
    epochs: PositiveInt = Field(description="epochs of each small network's training")
    seeds: int = Field(ge=2, description="small networks of each kind")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data] if own else [data, "cifar10"]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = _law("photos", measured["photos"]) + _photos(measured["photos"]) + super().judge(measured)
        if "cifar10" not in measured:
            return checks
        small = measured["cifar10"]
        plain, selected = small["looks"]["as-trained"][f"plain-{WINDOW}"], small["against_plain"]["on-crops"]
        words = "CIFAR-10: share whose label changes, plain network"
        checks.append(decide("shifts-matter", words, plain["label_failures"], above=RARE, opposed_below=RARE))
        cost = selected[f"hash-{CROPS[-1]}"]["accuracy"]
        checks.append(_cost("small-network-cost", "accuracy, with selection less without", cost))
        return checks + _law("cifar10", small)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        return "" if "cifar10" in measured else "With data or a model of one's own only the part on photos is run."


def _law(name: str, part: Mapping[str, Any]) -> list[Check]:
    checks = []
    for side, rate in part["same_crop"]["hash"].items():
        law = part["law"][side]
        words = f"{name}, side {side}: {rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f}), law {law:.3f}, "
        checks.append(decide_near("law", f"{words}{TOLERANCE} allowed", rate, law, TOLERANCE))
    return checks


def _photos(part: Mapping[str, Any]) -> list[Check]:
    names, views = part["names"], part["looks"]
    centre, selected = (views[names[kind]] for kind in ("centre", "selected"))
    against = part["against_centre"][names["selected"]]
    failures, stable = selected["label_failures"], against["stable"]
    if "far" in part:
        stable = unpaired(*(part["far"][names[kind]]["label_failures"] for kind in ("centre", "selected")))
    shifts = f"shifts of up to {part['far']['pixels']} pixels" if "far" in part else "one pixel"
    below = unpaired(constant(LOW), failures)
    own, resized = (views[names[kind]]["accuracy"]["value"] for kind in ("selected", "resize"))
    words = "photos: share whose label changes, centre crop"
    return [
        decide("shifts-matter", words, centre["label_failures"], above=RARE, opposed_below=RARE),
        decide("rare-failures", f"photos, {shifts}: share stable, selection less centre crop", stable),
        decide("rare-failures", f"photos, one pixel: {failures['value']:.3f} change; below {LOW} by", below),
        _cost("accuracy-cost", "photos: accuracy, selection less centre crop", against["accuracy"]),
        Check(
            f"photos: accuracy {own:.3f}, of the resized window {resized:.3f}, at most {COST} less allowed",
            resized - own <= COST,
            "accuracy-cost",
        ),
    ]


def _cost(part: str, words: str, difference: Mapping[str, Any]) -> Check:
    return decide(part, words, difference, above=-COST)

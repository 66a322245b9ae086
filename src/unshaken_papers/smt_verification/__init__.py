"""`smt-verification`: can a solver decide whether any image of a small region has another class?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

MODEL = "d-h-K perceptrons"
SHARE = 0.9
LIMIT = 60.0
"""Seconds within which a verdict counts as decided."""
PIXELS = (5, 10, 20)
EPS = (0.2, 0.5, 1.0)
SEARCHES = ("corners", "grid")
DEEP_PIXELS, DEEP_EPS, DEPTHS = 10, (0.5, 1.0), (1, 2)
"""Regions of the networks with two hidden layers, and the numbers of these layers."""
FGSM_EPS = (0.1, 0.2, 0.4)
FEWER = 0.1
"""Share of images for which the solver may have fewer examples than an attack."""


@register("smt-verification", reference="Huang et al. 2017, arXiv:1610.06940")
class SMTVerificationPaper(Paper):
    """Does exact verification decide small regions, and is what it proves safe never broken?

    Perceptrons of one hidden layer on 8 x 8 digits and on a data set of one's own; 5, 10 and 20 free pixels, eps 0.2 to
    1: exact verification against corners, a grid, and PGD on the same pixels. With a model of one's own, that one is
    verified on the data in the place of both.
    """

    title: ClassVar[str] = "Safety Verification of Deep Neural Networks"
    claim: ClassVar[str] = (
        "For an image, a region around it and a family of manipulations it can be decided by exhaustive search, layer "
        "by layer, and an SMT solver whether the class can change: an adversarial example is found if there is one, "
        "else the decision is verified."
    )
    summary: ClassVar[str] = "A solver decides whether any image of a small region has another class."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "sound": ClaimPart(
            statement="If no adversarial example is found, the decision is verified.",
            rule="Shown if on every data set no region that exact verification proves safe has an adversarial example "
            "among the corners, on the grid, or by PGD on the same pixels; contradicted by a single one.",
        ),
        "found": ClaimPart(
            statement="If there is an adversarial example in the region, it is found.",
            rule="Shown if on every data set exact verification finds one in every region in which corners, grid or "
            "PGD do.",
        ),
        "decided": ClaimPart(
            statement="Whether the class can change in a small region can be decided.",
            rule="Shown if on every data set more than 9 of 10 regions of 10 free pixels, those of all seeds and eps, "
            "are decided within 60 s; contradicted if fewer.",
        ),
        "layer-by-layer": ClaimPart(
            statement="The search goes layer by layer through a deep network, and maps activations back to inputs with "
            "the solver.",
            rule="Networks of two hidden layers, 10 free pixels, eps 0.5 and 1; at each hidden layer in turn the unit "
            "farthest from the layer's mean takes values over its bounds, each mapped back by the solver. Shown if on "
            "every data set this finds an adversarial example in more than half of the regions that have one by exact "
            "verification, by the interval over all seeds and eps, and none in a region proved safe; contradicted if "
            "in fewer than half, or by one in a region proved safe.",
        ),
        "exhaustive": ClaimPart(
            statement="The region is made discrete and searched exhaustively.",
            rule="Shown if on every data set the exhaustive search of the grid, where it was within its limit of "
            "points, finds an adversarial example in every region in which the solver does.",
            central=False,
        ),
        "large-networks": ClaimPart(
            statement="It works for convolutional networks on MNIST, CIFAR-10, traffic signs and ImageNet.",
            untried="Needs convolutional networks and regions of more than 20 pixels.",
            central=False,
        ),
        "distances": ClaimPart(
            statement="Compared with FGSM and JSMA, it finds examples as often, and nearer ones.",
            rule="The same images; the solver with 10 free pixels of any value, the attacks with all pixels, FGSM at "
            "0.1, 0.2 and 0.4, of these the one that fools most. Shown if on every data set, over the seeds, the "
            "solver has an example for at most a tenth of the images fewer than either attack, and its examples are "
            "nearer in l2 where both have one; contradicted if it has fewer, or farther ones.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "no accuracy or timing is quoted here; the paper's text could not be read",
        "digits": {
            "cells": {
                "5": {"0.2": "12/0/0 (pilot: safe/adversarial/unknown)", "0.5": "11/1/0 (pilot)", "1": "7/5/0 (pilot)"},
                "10": {"0.2": "12/0/0 (pilot)", "0.5": "10/2/0 (pilot)", "1": "1/11/0 (pilot)"},
                "20": {"0.2": "9/1/2 (pilot, limit 8 s)", "0.5": "1/10/1 (pilot)", "1": "0/12/0 (pilot)"},
            }
        },
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "digits.decided_at_10": ("Regions of 10 pixels decided within 60 s, digits", "share of regions"),
        "fashion-mnist.decided_at_10": ("Regions of 10 pixels decided within 60 s, Fashion-MNIST", "share of regions"),
        "digits.contradicted": ("Regions proved safe that a search breaks, digits", "regions"),
        "fashion-mnist.contradicted": ("Regions proved safe that a search breaks, Fashion-MNIST", "regions"),
        "digits.slowest_at_10": ("Slowest decision with 10 pixels, digits", "s"),
        "fashion-mnist.slowest_at_10": ("Slowest decision with 10 pixels, Fashion-MNIST", "s"),
        "digits.verified_pixels.plain": ("Free pixels proved safe at eps 0.5, plain training, digits", "pixels"),
        "digits.verified_pixels.at": ("The same, adversarial training", "pixels"),
        "fashion-mnist.verified_pixels.plain": ("Free pixels proved safe, plain training, Fashion-MNIST", "pixels"),
        "fashion-mnist.verified_pixels.at": ("The same, adversarial training", "pixels"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Perceptrons of one hidden layer, and of two for the search by layers; a region frees 5, 10 or 20 pixels. The "
        "second data set is the given one (--data mnist for that of the paper).",
        "No part rests on the numbers of pixels proved safe.",
        "The publication's table of distances is not at hand: the part on these is what is remembered of it.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = MODEL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "distances": {"fooled": "bool", "changed": "double", "l1": "double", "l2": "double"},
        "verified_pixels": {"eps": "double", "pixels": "int64", "most": "int64", "calls": "int64", "seconds": "double"},
    }
    """One row an image: what an attack changed; the most free pixels at which it is proved safe, of `most` tried."""

    full: ClassVar[Mapping[str, Any]] = {"images": 24, "seeds": 4, "layer_steps": 16}

    images: PositiveInt = Field(12, description="images verified a net")
    seeds: PositiveInt = Field(3, description="nets of each kind")
    train: PositiveInt = Field(10_000, description="training images of the data; digits have their own 1,400")
    seconds: PositiveFloat = Field(60.0, description="limit of the solver with up to 10 free pixels")
    seconds_many: PositiveFloat = Field(20.0, description="limit with more")
    layer_steps: PositiveInt = Field(8, description="m of the search at a hidden layer: a unit takes 2 m + 1 values")
    most: PositiveInt = Field(48, description="free pixels tried in the second part, eps 0.5")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for name, found in measured.items():
            if not isinstance(found, Mapping):
                continue
            wrong, missed, decided = (found[key] for key in ("contradicted", "missed_by_exact", "decided_at_10"))
            words = f"{name}: {wrong} regions proved safe have an adversarial example"
            checks.append(Check(words, wrong == 0, "sound", opposed=wrong > 0))
            words = f"{name}: {missed} regions with an adversarial example in which exact verification finds none"
            checks.append(Check(words, missed == 0, "found", opposed=wrong > 0))
            words = f"{name}: share of regions with 10 free pixels decided within {LIMIT:g} s"
            checks.append(decide("decided", words, decided, above=SHARE, opposed_below=SHARE))
            grids = list(_grids(found["cells"]))
            missed, seen = (sum(grid[key] for grid in grids) for key in ("missed", "looked_at"))
            words = f"{name}: in {missed} of {seen} regions the solver finds an adversarial example, the grid none"
            checks.append(Check(words, missed == 0 < seen, "exhaustive"))
            checks += (
                [*_layers(name, found["layers"]), *_distances(name, found["distances"])] if "layers" in found else []
            )
        return checks


def _layers(name: str, layers: Mapping[str, Any]) -> list[Check]:
    """What the search at hidden layers finds, of one data set."""
    part, wrong = "layer-by-layer", layers["contradicted"]
    words = f"{name}: {wrong} regions proved safe have an example by the search at a layer"
    checks = [Check(words, wrong == 0, part, opposed=wrong > 0)]
    words = f"{name}: share of {layers['regions']} regions with an example in which a hidden layer finds one"
    if not layers["regions"]:
        return [*checks, Check(words, False, part)]
    return [*checks, decide(part, words, layers["found"]["hidden"], above=0.5, opposed_below=0.5)]


def _distances(name: str, distances: Mapping[str, Any]) -> list[Check]:
    """The solver's examples beside those of two attacks, of one data set."""
    part, checks = "distances", []
    for label, more in distances["more_often"].items():
        words = f"{name}: share of images with an example, solver less {label}"
        checks.append(decide(part, words, more, above=-FEWER, opposed_below=-FEWER))
        words = f"{name}: l2 distance of examples, {label} less solver"
        both = distances["farther"].get(label)
        checks.append(Check(f"{words}: no image has both", False, part) if both is None else decide(part, words, both))
    return checks


def _grids(cells: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the exhaustive search of the grid found, for each number of pixels and each eps that it could search."""
    for eps in (f"{e:g}" for e in EPS):
        for pixels in (str(p) for p in PIXELS):
            if pixels in cells and eps in cells[pixels] and "grid" in cells[pixels][eps]["found"]:
                yield cells[pixels][eps]["found"]["grid"]

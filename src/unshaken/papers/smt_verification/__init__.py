"""`smt-verification`: can a solver decide whether any image of a small region has another class?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

MODEL = "d-h-K perceptrons"
SHARE = 0.9
LIMIT = 60.0
"""Seconds within which a verdict counts as decided."""
PIXELS = (5, 10, 20)
EPS = (0.2, 0.5, 1.0)
SEARCHES = ("corners", "grid")


@register("smt-verification", reference="Huang et al. 2017, arXiv:1610.06940")
class SMTVerificationPaper(Paper):
    """Does exact verification decide small regions, and is what it proves safe never broken?

    Perceptrons of one hidden layer on 8 x 8 digits and on a data set of one's own; 5, 10 and 20 free pixels, eps 0.2 to
    1: exact verification against corners, a grid, and PGD on the same pixels. With a model of one's own, that one is
    verified on the data in the place of both.
    """

    title: ClassVar[str] = "Safety Verification of Deep Neural Networks"
    claim: ClassVar[str] = (
        "For an image, a region around it and a family of manipulations it can be decided by exhaustive search and an "
        "SMT solver whether the class can change: an adversarial example is found if there is one, else the decision "
        "is verified."
    )
    summary: ClassVar[str] = "A solver decides whether any image of a small region has another class."
    rule: ClassVar[str] = (
        "Reproduced if both hold on every data set, over the seeds: (1) no image that exact verification proves safe "
        "has an adversarial example among the corners, on the grid, or by PGD on the same pixels; (2) with 10 free "
        "pixels exact verification decides at least 9 of 10 images within 60 s."
    )
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
        "Perceptrons of one hidden layer; a region frees 5, 10 or 20 pixels. The second data set is the given one "
        "(--data mnist for that of the paper).",
        "The numbers of pixels proved safe are outside the rule.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = MODEL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "verified_pixels": {"eps": "double", "pixels": "int64", "most": "int64", "calls": "int64", "seconds": "double"}
    }
    """One row an image: the most free pixels at which it is proved safe, of `most` that were tried."""

    images: PositiveInt = Field(12, description="images verified a net")
    seeds: PositiveInt = Field(3, description="nets of each kind")
    train: PositiveInt = Field(10_000, description="training images of the data; digits have their own 1,400")
    seconds: PositiveFloat = Field(60.0, description="limit of the solver with up to 10 free pixels")
    seconds_many: PositiveFloat = Field(20.0, description="limit with more")
    most: PositiveInt = Field(48, description="free pixels tried in the second part, eps 0.5")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        checks = []
        for name, part in measured.items():
            if not isinstance(part, Mapping):
                continue
            wrong, decided = part["contradicted"], part["decided_at_10"]["value"]
            checks.append(Check(f"{name}: {wrong} regions proved safe have an adversarial example", wrong == 0))
            words = f"{name}: {decided:.1%} of regions with 10 free pixels decided within 60 s"
            checks.append(Check(words, decided >= SHARE))
        return checks

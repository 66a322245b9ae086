"""`accuracy-disparity`: asking for robustness widens the gap between imbalanced classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

RATIOS = (1, 2, 5, 10)
"""Majority to minority, of drawn samples."""
GAUSS_EPS = (0.0, 0.25, 0.5, 0.75)
CENTRE = 1.5
"""Distance of each Gaussian class from 0."""
CAUCHY = 3.0
"""Distance of each Cauchy class from 0, in scales."""
FEWER = (1, 5, 10)
"""Majority to minority, of images."""
PHOTO_BUDGETS: Sequence[tuple[Literal["l2", "linf"], float]] = (
    ("l2", 0.0), ("l2", 0.5), ("l2", 1.0), ("linf", 0.05), ("linf", 0.1),
)  # fmt: skip
BUDGETS = (0, 2, 4)
"""Radii of networks in 255ths, linf."""
REMEDIES = ("class-balanced", "worst-class")
NEAR = 0.02
EXACT = (("5", "0.75"), ("10", "0.5"))
CAT, SHIP = 3, 8


@register("accuracy-disparity", reference="Hu et al. 2023, arXiv:2211.15762")
class AccuracyDisparityPaper(Paper):
    """Does robustness widen the accuracy gap between imbalanced classes, the more the rarer one of them is?

    Linear models of Gaussian and Cauchy samples, beside their closed forms, and of two classes of Fashion-MNIST, all by
    the exact robust loss; small perceptrons by PGD on two classes of CIFAR-10; remedies beside them. `--data` puts the
    user's own data (splits train and test) in the place of both; `--model 'STANDARD|ROBUST'` compares two trained
    models over all classes.
    """

    title: ClassVar[str] = "Understanding the Impact of Adversarial Robustness on Accuracy Disparity"
    claim: ClassVar[str] = (
        "For linear classifiers of two Gaussian classes, adversarial robustness lowers the standard accuracy of both "
        "and widens the gap between them, in proportion to the imbalance ratio; under heavy-tailed noise imbalance "
        "acts differently. Experiments suggest that this extends to non-linear models."
    )
    summary: ClassVar[str] = "Robust training widens the accuracy gap between a frequent and a rare class."
    rule: ClassVar[str] = (
        "Reproduced if all hold for means over seeds, disparity being majority minus minority on balanced test data: "
        "(1) Gaussian samples: at each radius the disparity of the robust model minus that of the standard one is "
        "positive for ratios above 1 and rises with the ratio; (2) at ratio 5, eps 0.75 and at ratio 10, eps 0.5 the "
        "disparity is within 0.02 of the closed form; (3) images, linear models: at ratios 5 and 10 the disparity "
        "rises with the radius, in l2 and in linf. With two models of one's own: the robust one has the larger "
        "max-min gap on clean images."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "photos": {
            "5": {"l2-0": 0.329, "l2-0.5": 0.450, "l2-1": 0.639, "linf-0.05": 0.462, "linf-0.1": 0.706},
            "10": {"l2-0": 0.378, "l2-0.5": 0.574, "l2-1": 0.800, "linf-0.05": 0.613, "linf-0.1": 0.968},
        },
        "published": "no table is available; under `photos` stand disparities of a pilot with one seed, the closed "
        "forms stand beside the measured figures",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gaussian.10.0.5.change": ("Gap added by robust training: Gaussians, ratio 10, eps 0.5", "accuracy"),
        "gaussian.5.0.75.change": ("The same at ratio 5, eps 0.75", "accuracy"),
        "gaussian.1.0.5.change": ("The same at ratio 1, eps 0.5", "accuracy"),
        "gaussian.10.0.5.disparity": ("Gap of the robust model: Gaussians, ratio 10, eps 0.5", "accuracy"),
        "gaussian.10.0.5.theory": ("The same by the closed form", "accuracy"),
        "photos.10.l2-0.disparity": ("Gap on images, ratio 10, standard model", "accuracy"),
        "photos.10.l2-1.disparity": ("Gap on images, ratio 10, robust in l2 at 1", "accuracy"),
        "photos.10.linf-0.1.disparity": ("Gap on images, ratio 10, robust in linf at 0.1", "accuracy"),
        "photos.10.linf-0.1.balanced.disparity": ("The same with classes that count alike", "accuracy"),
        "cauchy.10.change": ("Gap added by robust training: Cauchy noise, ratio 10", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "The gap is the accuracy of the frequent class minus that of the rare one, on balanced test data; the ratio "
        "is that of their training samples.",
        "The networks are small perceptrons and outside the rule; no convolutional network was trained.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "linear"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "classwise": {"label": "int64", "correct": "bool", "robust": "bool"},
        "classes": {"name": "string"},
    }

    seeds: int = Field(3, ge=2, description="repetitions of linear models")
    samples: int = Field(40_000, ge=100, description="Gaussian and Cauchy training samples")
    majority: NonNegativeInt = Field(0, description="class of the images that is more frequent; 0 is T-shirt")
    minority: NonNegativeInt = Field(6, description="class that is rarer; 6 is shirt")
    largest: PositiveInt = Field(5000, description="training images of the majority, linear models")
    net_seeds: int = Field(2, ge=0, description="repetitions of networks, 2 or more; 0 leaves them out")
    net_largest: PositiveInt = Field(1500, description="training images of the majority, networks")
    epochs: PositiveInt = Field(8, description="of each network's training")
    limit: PositiveInt = Field(2000, description="images for two models of one's own")
    eps: PositiveFloat = Field(8 / 255, description="linf radius for two models of one's own")

    @model_validator(mode="after")
    def _pairs(self) -> AccuracyDisparityPaper:
        if self.net_seeds == 1:
            raise ValueError("net_seeds must be 0, or 2 and more for an interval")
        if self.majority == self.minority:
            raise ValueError(f"majority and minority are both {self.majority}: name two classes")
        return self

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        if "own" in measured:
            change = measured["own"]["clean"]["change"]["value"]
            return [Check(f"clean max-min gap, robust minus standard: {change:+.3f}", change > 0)]
        checks = []
        gauss = measured["gaussian"]
        for eps in (f"{e:g}" for e in GAUSS_EPS if e):
            changes = [gauss[str(r)][eps]["change"]["value"] for r in RATIOS]
            told = ", ".join(f"{c:+.4f}" for c in changes)
            words = f"Gaussian, eps {eps}: robust minus standard disparity at ratios 1, 2, 5, 10 is {told}"
            rises = all(a < b for a, b in pairwise(changes))
            checks.append(Check(words, rises and all(c > 0 for c in changes[1:])))
        for ratio, eps in EXACT:
            part = gauss[ratio][eps]
            value, theory = part["disparity"]["value"], part["theory"]
            words = f"Gaussian, ratio {ratio}, eps {eps}: {value:.4f}, closed form {theory:.4f} ({NEAR} allowed)"
            checks.append(Check(words, abs(value - theory) < NEAR))
        for rare in (r for r in FEWER if r >= 5):
            for norm in ("l2", "linf"):
                names = ["l2-0", *(f"{n}-{e:g}" for n, e in PHOTO_BUDGETS if e and n == norm)]
                gaps = [measured["photos"][str(rare)][name]["disparity"]["value"] for name in names]
                words = f"images, ratio {rare}, {norm}: disparity {', '.join(f'{g:.3f}' for g in gaps)} as eps grows"
                checks.append(Check(words, all(a < b for a, b in pairwise(gaps))))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Perceptrons and remedies, which the rule leaves alone."""
        if not measured.get("nets"):
            return ""
        most = measured["nets"][str(max(FEWER))]
        plain, last = (most[str(budget)] for budget in (min(BUDGETS), max(BUDGETS)))
        told = ", ".join(f"{last[name]['disparity']['value']:.2f} with {name}" for name in REMEDIES if name in last)
        return (
            f"Perceptrons, {measured['classes']['nets']}, at ratio {max(FEWER)}: the gap is "
            f"{plain['disparity']['value']:.2f} after standard training and {last['disparity']['value']:.2f} after "
            f"adversarial training at {max(BUDGETS)}/255; there it is {told}."
        )

"""`accuracy-disparity`: asking for robustness widens the gap between imbalanced classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, decide_near, row
from unshaken.papers.effects import negated, unpaired

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
"""A gap added that only a classifier has which predicts the majority nearly everywhere."""
CAT, SHIP = 3, 8


@row(__file__)
class AccuracyDisparityPaper(Paper):
    """Does robustness widen the accuracy gap between imbalanced classes, the more the rarer one of them is?

    Linear models of Gaussian and Cauchy samples, beside their closed forms, and of two classes of Fashion-MNIST, all by
    the exact robust loss; small perceptrons by PGD on two classes of CIFAR-10; remedies beside them. `--data` puts the
    user's own data (splits train and test) in the place of both; `--model 'STANDARD|ROBUST'` compares two trained
    models over all classes.
    """

    seeds: int = Field(ge=2, description="repetitions of linear models")
    samples: int = Field(ge=100, description="Gaussian and Cauchy training samples")
    majority: NonNegativeInt = Field(description="class of the images that is more frequent; 0 is T-shirt")
    minority: NonNegativeInt = Field(description="class that is rarer; 6 is shirt")
    largest: PositiveInt = Field(description="training images of the majority, linear models")
    net_seeds: int = Field(ge=0, description="repetitions of networks, 2 or more; 0 leaves them out")
    net_largest: PositiveInt = Field(description="training images of the majority, networks")
    epochs: PositiveInt = Field(description="of each network's training")
    limit: PositiveInt = Field(description="images for two models of one's own")
    eps: PositiveFloat = Field(description="linf radius for two models of one's own")

    @model_validator(mode="after")
    def _pairs(self) -> AccuracyDisparityPaper:
        if self.net_seeds == 1:
            raise ValueError("net_seeds must be 0, or 2 and more for an interval")
        if self.majority == self.minority:
            raise ValueError(f"majority and minority are both {self.majority}: name two classes")
        return self

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        if "own" in measured:
            return [decide("wider-gap", "max-min gap over classes, added", measured["own"]["clean"]["change"])]
        checks = self._gaussian(measured["gaussian"]) + self._cauchy(measured["cauchy"]) + super().judge(measured)
        for ratio in FEWER[1:]:
            at = measured["photos"][str(ratio)]
            for norm in ("l2", "linf"):
                names = ["l2-0", *(f"{n}-{e:g}" for n, e in PHOTO_BUDGETS if e and n == norm)]
                for less, more in pairwise(names):
                    gaps = (at[more]["disparity"], at[less]["disparity"])
                    plain = "0" if less == "l2-0" else less
                    words = f"ratio {ratio}: gap at {more} ({gaps[0]['value']:.3f}) less that at {plain}"
                    checks.append(decide("images", words, unpaired(*gaps)))
        if measured.get("nets"):
            for ratio, budget in product(FEWER[1:], BUDGETS[1:]):
                words = f"ratio {ratio}, {budget}/255: gap added"
                checks.append(decide("networks", words, measured["nets"][str(ratio)][str(budget)]["change"]))
        return checks

    def _gaussian(self, gauss: Mapping[str, Any]) -> list[Check]:
        radii = [f"{e:g}" for e in GAUSS_EPS if e]
        checks = [
            decide("wider-gap", f"ratio {ratio}, eps {eps}: gap added", gauss[str(ratio)][eps]["change"])
            for ratio, eps in product(RATIOS[1:], radii)
        ]
        for eps, (less, more) in product(radii, pairwise(RATIOS)):
            words = f"eps {eps}: gap added at ratio {more} less that at ratio {less}"
            changes = (gauss[str(ratio)][eps]["change"] for ratio in (more, less))
            checks.append(decide("with-ratio", words, unpaired(*changes)))
        for ratio, kind in product(RATIOS[1:], ("minority", "majority")):
            robust, plain = (gauss[str(ratio)][eps][kind] for eps in (radii[-1], "0"))
            words = f"ratio {ratio}, {kind}: accuracy lost, from {plain:.4f} to {robust:.4f}"
            lost = unpaired(self._pooled(plain), self._pooled(robust))
            checks.append(decide("both-classes", words, lost))
        for ratio_name, eps in EXACT:
            one = gauss[ratio_name][eps]
            gap, theory = one["disparity"], one["theory"]
            words = f"ratio {ratio_name}, eps {eps}: gap {gap['value']:.4f} ({gap['low']:.4f} to {gap['high']:.4f}), "
            words += f"closed form {theory:.4f}, {NEAR} allowed"
            checks.append(decide_near("closed-form", words, gap, theory, NEAR))
        return checks

    def _cauchy(self, cauchy: Mapping[str, Any]) -> list[Check]:
        return [
            decide("heavy-tails-shrink", f"ratio {ratio}: gap taken away", negated(cauchy[str(ratio)]["change"]))
            for ratio in RATIOS[1:-1]
        ]

    def _pooled(self, accuracy: float) -> dict[str, Any]:
        """The accuracy of a class with the interval of its test samples, those of all seeds together."""
        from unshaken.measure import share

        n = self.seeds * (self.samples // 8)
        return share(round(accuracy * n), n).to_json()

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        if not measured.get("nets"):
            return ""
        most = measured["nets"][str(max(FEWER))]
        plain, last = (most[str(budget)] for budget in (min(BUDGETS), max(BUDGETS)))
        remedied = ", ".join(f"{last[name]['disparity']['value']:.2f} with {name}" for name in REMEDIES if name in last)
        return (
            f"Perceptrons, {measured['classes']['nets']}, at ratio {max(FEWER)}: the gap is "
            f"{plain['disparity']['value']:.2f} after standard training and {last['disparity']['value']:.2f} after "
            f"adversarial training at {max(BUDGETS)}/255; there it is {remedied}."
        )

"""`intrinsic-properties`: do intrinsic dimension and label sharpness of data predict loss and vulnerability?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row
from unshaken.papers.effects import negated

LEVELS = (1, 2, 4)
"""Budgets of FGSM, in levels of 255."""
JUDGED = 2
QUANTILE = 0.999
MAXIMUM, AT_QUANTILE, DIMENSION = "sharpness", "sharpness_999", "dimension"
PREDICTORS = (MAXIMUM, AT_QUANTILE, DIMENSION)
WEAK, QUARTER = 0.2, 0.75


@row(__file__)
class IntrinsicPropertiesPaper(Paper):
    """Does a data set's label sharpness predict how vulnerable networks are, and its dimension their loss?

    Pairs of classes of two sources are the data sets. Of each are measured its intrinsic dimension and its label
    sharpness, and of small networks trained on it the test loss, what FGSM adds to it, and the dimension of their
    features. Medical images stand beside as many natural ones, all from few images.
    """

    seeds: int = Field(ge=2, description="networks of each pair of classes")
    other: tuple[str, ...] = Field(description="SPECs of further sources; empty for none")
    medical: tuple[str, ...] = Field(description="SPECs of medical images; empty for none")
    pairs: int = Field(ge=4, description="pairs of classes of each source")
    compared: PositiveInt = Field(description="those of them that medical images are compared with")
    few: int = Field(ge=30, description="training images of each pair where medical and natural ones are compared")
    train: int = Field(ge=30, description="training images of each pair")
    test: PositiveInt = Field(description="test images of each pair at most")
    sharp: int = Field(ge=4, description="training images, half of each class, for the label sharpness")
    attacked: PositiveInt = Field(description="test images that are attacked")
    epochs: PositiveInt = Field(description="epochs of training")
    sweep: NonNegativeInt = Field(description="pairs of each source that are also learned from fewer images")
    fractions: tuple[float, ...] = Field(description="shares of the training images of that sweep")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, *filter(None, (*self.other, *self.medical))]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        penalty, loss = measured["penalty"][str(JUDGED)], measured["loss"]
        words = f"correlation of the loss that FGSM at {JUDGED}/255 adds with"
        checks = []
        for part, predictor in (("vulnerable", AT_QUANTILE), ("vulnerable-maximum", MAXIMUM)):
            figure = penalty[predictor]
            checks.append(decide(part, f"{words} {predictor}", figure))
            checks.append(Check(f"{words} {predictor}: {figure['value']:.3f}, wanted above {WEAK}",
                                figure["value"] > WEAK, part))  # fmt: skip
        checks.append(
            decide("bounded", "share of pairs whose representation has fewer dimensions", measured["bounded"],
                   above=QUARTER, opposed_below=QUARTER)
        )  # fmt: skip
        checks.append(decide("loss", "correlation of test loss with dimension", loss[DIMENSION]))
        checks.append(decide("loss-sharpness", "correlation of test loss with label sharpness", loss[AT_QUANTILE]))
        checks.append(decide("radius", "correlation of radius with 1 over label sharpness", measured["radius"]))
        if "slope" in measured:
            words = "minus the slope of log loss against log number of images"
            checks.append(decide("samples", words, negated(measured["slope"])))
        if "medical" in measured:
            checks += [
                decide("medical", f"logarithm of the {what}, medical minus natural", measured["medical"][predictor])
                for predictor, what in ((MAXIMUM, "label sharpness"), (AT_QUANTILE, "same at its quantile"))
            ]
            words = "logarithm of the test loss at one dimension, medical minus natural"
            checks.append(decide("medical", words, measured["medical"]["shift"]))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        sources = "; ".join(
            f"{of['name']}: label sharpness {of['sharpness_low']:.3f} to {of['sharpness_high']:.3f}, dimension "
            f"{of['dimension_low']:.1f} to {of['dimension_high']:.1f}"
            for of in measured["ranges"].values()
        )
        within = "; ".join(
            f"{measured['ranges'][place]['name']}: penalty at {JUDGED}/255 with label sharpness "
            f"{of['penalty'][str(JUDGED)][AT_QUANTILE]['value']:+.2f}, loss with dimension "
            f"{of['loss'][DIMENSION]['value']:+.2f}"
            for place, of in measured.get("within", {}).items()
        )
        less = f"Correlations within one source, where sources do not differ: {within}. " if within else ""
        side = "; ".join(f"{name} {value:.3f}" for name, value in measured.get("medical", {}).get("sets", {}).items())
        sets = f"Label sharpness of {self.few} images each: {side}. " if side else ""
        bound = f"The median radius is {measured['radius_constant']:.2g} over label sharpness at least."
        return f"{sources}. {less}{sets}{bound}"

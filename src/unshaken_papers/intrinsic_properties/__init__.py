"""`intrinsic-properties`: do intrinsic dimension and label sharpness of data predict loss and vulnerability?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide
from unshaken.papers.effects import negated

LEVELS = (1, 2, 4)
"""Budgets of FGSM, in levels of 255."""
JUDGED = 2
QUANTILE = 0.999
MAXIMUM, AT_QUANTILE, DIMENSION = "sharpness", "sharpness_999", "dimension"
PREDICTORS = (MAXIMUM, AT_QUANTILE, DIMENSION)
WEAK, QUARTER = 0.2, 0.75


@register("intrinsic-properties", reference="Konz & Mazurowski 2024, arXiv:2401.08865")
class IntrinsicPropertiesPaper(Paper):
    """Does a data set's label sharpness predict how vulnerable networks are, and its dimension their loss?

    Pairs of classes of two sources are the data sets. Of each are measured its intrinsic dimension and its label
    sharpness, and of small networks trained on it the test loss, what FGSM adds to it, and the dimension of their
    features.
    """

    title: ClassVar[str] = (
        "The Effect of Intrinsic Dataset Properties on Generalization: Unraveling Learning Differences Between Natural "
        "and Medical Images"
    )
    claim: ClassVar[str] = (
        "Two properties of a data set alone, its intrinsic dimension and its label sharpness, go with the test loss "
        "and the adversarial vulnerability of networks trained on it, and the dimension of what they learn stays below "
        "that of the data."
    )
    summary: ClassVar[str] = "Label sharpness goes with vulnerability, intrinsic dimension with the loss."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "vulnerable": ClaimPart(
            statement="Networks are the more vulnerable the sharper the labels of their data are.",
            rule=f"Shown if over all pairs of classes Pearson's correlation of the loss that FGSM at {JUDGED}/255 "
            f"adds, mean over seeds, with the label sharpness at its {QUANTILE:.1%} quantile is above {WEAK} and its "
            "whole interval above 0; contradicted if the interval lies below 0.",
        ),
        "bounded": ClaimPart(
            statement="The dimension of the representation is below that of the data.",
            rule=f"Shown if it is in more than {QUARTER:.0%} of the pairs of classes, by TwoNN for both, means over "
            "seeds, and by the interval of that share; contradicted if the interval lies below.",
        ),
        "loss": ClaimPart(
            statement="The test loss rises with the intrinsic dimension of the data.",
            rule="Shown if over all pairs the correlation of the mean test loss with the dimension (MLE, k = 20) is "
            "above 0 by its interval; contradicted if below.",
        ),
        "vulnerable-maximum": ClaimPart(
            statement="The same holds for the maximum, the publication's own label sharpness.",
            rule=f"As 'vulnerable', with the maximum over all pairs of images in the place of the {QUANTILE:.1%} "
            "quantile.",
            central=False,
        ),
        "loss-sharpness": ClaimPart(
            statement="The test loss rises with the label sharpness.",
            rule=f"Shown if over all pairs the correlation of the mean test loss with the label sharpness at its "
            f"{QUANTILE:.1%} quantile is above 0 by its interval; contradicted if below.",
            central=False,
        ),
        "radius": ClaimPart(
            statement="The smallest change that fools a network grows with 1 over the label sharpness.",
            rule="Shown if over all pairs the correlation of the median l2 size of DeepFool's changes, of images that "
            "are classified correctly, with 1 over the label sharpness at its quantile is above 0 by its interval; "
            "contradicted if below.",
            central=False,
        ),
        "samples": ClaimPart(
            statement="The test loss falls with the number of training images as a power.",
            rule="Shown if the slope of the log of the mean test loss against the log of their number is below 0, by "
            "the interval over seeds; contradicted if above.",
            central=False,
        ),
        "medical": ClaimPart(
            statement="Medical images have sharper labels than natural ones, and generalise worse at one dimension.",
            untried="no medical images can be had here; 'unshaken explain label-sharpness intrinsic-dimension' "
            "measures any folder of labelled images.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "11 data sets, 6 networks: penalties of FGSM correlate positively with K_F; d_data bounds d_repr",
        "pilot": "16 pairs, one seed: r of the penalty at 2/255 with K_F 0.52, at its quantile 0.70; of the loss with "
        "the dimension 0.59; d_repr below d_data in 16 of 16",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "penalty.2.sharpness_999": ("Loss that FGSM adds, with label sharpness at its quantile", "correlation"),
        "penalty.2.sharpness": ("The same, with the maximum", "correlation"),
        "penalty.2.dimension": ("The same, with intrinsic dimension", "correlation"),
        "loss.dimension": ("Test loss, with intrinsic dimension", "correlation"),
        "loss.sharpness_999": ("Test loss, with label sharpness at its quantile", "correlation"),
        "radius": ("Smallest change that fools, with 1 over label sharpness", "correlation"),
        "bounded": ("Pairs whose representation has fewer dimensions than their data", "share"),
        "slope": ("Slope of log loss against log number of images", "slope"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Pairs of classes of two sources of small natural images are the data sets; none is medical.",
        "One network of 19,000 parameters, trained for a few epochs, in the place of six of up to 134 million.",
        "All pairs of images with different labels are compared, not some that a shuffle puts side by side, and the "
        "formula is the publication's: its code takes pairs of equal labels.",
        "Pixels are divided by 255, not by each image's maximum.",
        "Pairs of one source share classes, so that the intervals of the correlations are somewhat too narrow.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "conv-19k"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "data": {
            "source": "string", "classes": "string", "sharpness": "double", "sharpness_999": "double",
            "dimension": "double", "twonn": "double", "n": "int32",
        },
        "representation": {"twonn": "double", "mle": "double"},
        "radii": {"distance": "double", "correct": "bool"},
    }  # fmt: skip
    full: ClassVar[Mapping[str, Any]] = {"attacked": 600, "epochs": 16, "sweep": 4}

    seeds: int = Field(3, ge=2, description="networks of each pair of classes")
    other: Annotated[tuple[str, ...], PlusSeparated] = Field(
        ("cifar10",), description="SPECs of further sources, joined by +; empty for none"
    )
    pairs: int = Field(12, ge=4, description="pairs of classes of each source")
    train: int = Field(1500, ge=30, description="training images of each pair")
    test: PositiveInt = Field(600, description="test images of each pair at most")
    sharp: int = Field(1000, ge=4, description="training images, half of each class, for the label sharpness")
    attacked: PositiveInt = Field(200, description="test images that are attacked")
    epochs: PositiveInt = Field(8, description="epochs of training")
    sweep: NonNegativeInt = Field(1, description="pairs of each source that are also learned from fewer images")
    fractions: Annotated[tuple[float, ...], PlusSeparated] = Field(
        (1 / 6, 1 / 3), description="shares of the training images of that sweep"
    )

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
        return f"{sources}. {less}The median radius is {measured['radius_constant']:.2g} over label sharpness at least."

"""`early-learning-regularization`: wrong labels are memorised late, and ELR prevents it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide, in_every_seed, pilot, seeds_in
from unshaken.papers.effects import complement, scaled, unpaired

SMALL = "conv-207k"
PLAIN, REGULARISED = "plain", "elr"
CURVE, EARLY = (0, 3, 10, 100, 300, 3000), 10
"""Steps of gradient descent after which the linear model is measured; the rule rests on `EARLY` and the last."""
RIGHT, LEARNED, FORGOTTEN = 0.95, 0.85, 0.05
"""Shares of wrongly labelled samples in the linear model: predicted right early, memorised late, memorised by ELR."""
HALF, DROP = 0.5, 0.04
"""The precondition: share of wrong labels that plain training memorises, and accuracy that it loses after its best."""
GAIN, THIRD, NEAR = 0.04, 3, 0.015


@register("early-learning-regularization", reference="Liu et al. 2020, arXiv:2007.00151")
class EarlyLearningPaper(Paper):
    """Are wrong labels learned after right ones, and does agreeing with earlier predictions keep them out?

    The theory's linear model with 40 % of wrong labels; and a network on Fashion-MNIST with 40 % of symmetric noise,
    trained by cross-entropy and by ELR. Both are measured by true labels after every epoch.
    """

    title: ClassVar[str] = "Early-Learning Regularization Prevents Memorization of Noisy Labels"
    claim: ClassVar[str] = (
        "Classifiers fit right labels first and memorise wrong ones later, even linear ones; rewarding agreement with "
        "the running average of the model's own predictions prevents that, without clean data."
    )
    summary: ClassVar[str] = "Wrong labels are memorised late; agreement with earlier predictions prevents it."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "linear": ClaimPart(
            statement="A linear model first predicts the wrongly labelled samples right, and later memorises them.",
            rule=f"Shown if, over the draws, at least {RIGHT:.0%} of the wrongly labelled samples are predicted right "
            f"after {EARLY} steps, and at least {LEARNED:.0%} as labelled after {CURVE[-1]:,}, by intervals over "
            "the draws; contradicted if a share is below half.",
        ),
        "linear-elr": ClaimPart(
            statement="With the regulariser the linear model memorises none of them.",
            rule=f"Shown if at most {FORGOTTEN:.0%} are predicted as labelled after {CURVE[-1]:,} steps, by the "
            "interval over the draws; contradicted if more than half are.",
        ),
        "memorises": ClaimPart(
            statement="A network trained by cross-entropy memorises wrong labels, and loses accuracy by it.",
            rule=f"Judged first. Shown if, in every seed that is run, at least {HALF:.0%} of the wrong labels are "
            f"predicted as labelled after the last epoch, and accuracy by true labels is at least {DROP:.0%} below "
            "that of the best epoch, chosen on other images; contradicted if accuracy rises.",
        ),
        "gain": ClaimPart(
            statement="ELR ends with a higher accuracy.",
            rule=f"Shown if plain training memorises and ELR's last accuracy exceeds its last by more than {GAIN:.0%}, "
            "in every seed that is run; contradicted if it is lower.",
        ),
        "less-memorised": ClaimPart(
            statement="ELR memorises few of the wrong labels.",
            rule="Shown if plain training memorises and ELR's share of memorised labels is below a third of its share, "
            "by intervals that are apart, in every seed that is run; contradicted if it is the larger one.",
        ),
        "no-early-stopping": ClaimPart(
            statement="ELR needs no early stopping: it ends at the best accuracy of plain training, or above.",
            rule=f"Shown if plain training memorises and ELR's last accuracy is less than {NEAR:.1%} below that of "
            "plain training's best epoch, chosen on other images with true labels, by intervals that are apart, in "
            "every seed that is run; contradicted if it is further below.",
        ),
        "other-noise": ClaimPart(
            statement="It withstands asymmetric noise and 80 to 90 % of symmetric noise.",
            untried="all noise is symmetric at 40 %; needs runs with other noise.",
            central=False,
        ),
        "elr-plus": ClaimPart(
            statement="With two networks, averaged weights and mixup (ELR+) it equals DivideMix.",
            untried="both are recipes here; neither is trained for as long as that needs.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "CIFAR-10, ResNet-34, 40 % symmetric noise: ELR 89.15 %, GCE 87.13 %; best epochs of plain "
        "training are reported to come near ELR's",
        **pilot("plain.10.corrected 1, plain.3000.memorised 0.90, elr.3000.memorised 0", "linear"),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.elr_minus_plain": ("Accuracy by true labels after the last epoch, gain by ELR", "accuracy"),
        "seed*.elr.last": ("After the last epoch, ELR", "accuracy"),
        "seed*.plain.last": ("After the last epoch, cross-entropy", "accuracy"),
        "seed*.plain.best": ("At its best epoch, cross-entropy", "accuracy"),
        "seed*.elr.memorised": ("Wrong labels memorised, ELR", "share"),
        "seed*.plain.memorised": ("Wrong labels memorised, cross-entropy", "share"),
        "linear.plain.3000.memorised": ("Memorised by the linear model after 3,000 steps, cross-entropy", "share"),
        "linear.elr.3000.memorised": ("The same, ELR", "share"),
        "linear.plain.10.corrected": ("Wrongly labelled, predicted right after 10 steps, cross-entropy", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 207,000 parameters on a few thousand images of Fashion-MNIST without augmentation, so that it "
        "memorises.",
        "The best epoch of cross-entropy is chosen on clean images apart from the test: an oracle, in its favour.",
        "The network is trained for 30 epochs (40 at the full scale) with a cosine schedule; the publication's has 120 "
        "to 150.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "epochs": {"epoch": "int32", "correct": "int32", "n": "int32"},
        "memorised": {"epoch": "int32", "memorised": "double", "corrected": "double", "fitted": "double"},
        "training": {"given": "int32", "truth": "int32", "predicted": "int32"},
        "linear": {
            "step": "int32", "cosine": "double", "corrected": "double", "memorised": "double",
            "residual_right": "double", "residual_wrong": "double", "test": "double",
        },
    }  # fmt: skip
    chooses: ClassVar[Mapping[str, str]] = {"epochs": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "photos": 5000,
        "test": 8000,
        "choosing": 2000,
        "epochs": 40,
        "betas": (0.7, 0.9),
        "draws": 5,
    }

    photos: PositiveInt = Field(2000, description="training images")
    test: PositiveInt = Field(2000, description="test images")
    choosing: PositiveInt = Field(1000, description="further test images, on which the best epoch is chosen")
    epochs: PositiveInt = Field(30, description="epochs of each training")
    rate: float = Field(0.4, description="share of wrong labels", gt=0, lt=1)
    strength: PositiveFloat = Field(3.0, description="lambda of ELR")
    betas: Annotated[tuple[float, ...], PlusSeparated] = Field(
        (0.7,), description="decays of ELR's targets; the first is judged", min_length=1
    )
    seeds: PositiveInt = Field(3, description="seeds of training and noise")
    draws: int = Field(3, description="draws of the linear model", ge=2)

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*self._linear(measured["linear"]), *in_every_seed(measured, self._images)]

    def _linear(self, linear: Mapping[str, Any]) -> list[Check]:
        late = max(linear[PLAIN], key=int)
        right, memorised = linear[PLAIN][str(EARLY)]["corrected"], linear[PLAIN][late]["memorised"]
        words = "wrongly labelled samples of the linear model"
        half = {"opposed_below": 0.5}
        return [
            decide("linear", f"{words}, predicted right after {EARLY} steps", right, above=RIGHT, **half),
            decide("linear", f"{words}, memorised after {late} steps", memorised, above=LEARNED, **half),
            decide(
                "linear-elr", f"{words}, not memorised after {late} steps, ELR",
                complement(linear[REGULARISED][late]["memorised"]), above=1 - FORGOTTEN, **half,
            ),
        ]  # fmt: skip

    def _images(self, part: Mapping[str, Any]) -> list[Check]:
        plain, elr = part[PLAIN], part[REGULARISED]
        first = [
            replace(decide("memorises", "wrong labels memorised", plain["memorised"], above=HALF), opposed=False),
            decide("memorises", "accuracy, best epoch minus last", unpaired(plain["best"], plain["last"]), above=DROP),
        ]
        if not all(check.holds for check in first):
            names = ("gain", "less-memorised", "no-early-stopping")
            return [*first, *(Check("not judged: plain training memorises too little", False, name) for name in names)]
        less = unpaired(scaled(plain["memorised"], 1 / THIRD), elr["memorised"])
        more = unpaired(plain["memorised"], elr["memorised"])
        memory = decide("less-memorised", "a third of the share memorised by plain training, minus ELR's", less)
        return [
            *first,
            decide("gain", "last accuracy, ELR minus cross-entropy", part["elr_minus_plain"], above=GAIN),
            replace(memory, opposed=more["high"] < 0),
            decide(
                "no-early-stopping", "accuracy, ELR's last minus the best epoch of cross-entropy",
                unpaired(elr["last"], plain["best"]), above=-NEAR,
            ),
        ]  # fmt: skip

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        epochs = ", ".join(str(part[PLAIN]["best_epoch"]) for _, part in seeds_in(measured))
        return f"Plain training was best after epoch {epochs} of {self.epochs}."

"""`early-learning-regularization`: wrong labels are memorised late, and ELR prevents it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in
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


@row(__file__)
class EarlyLearningPaper(Paper):
    """Are wrong labels learned after right ones, and does agreeing with earlier predictions keep them out?

    The theory's linear model with 40 % of wrong labels; and a network on Fashion-MNIST with 40 % of symmetric noise,
    trained by cross-entropy and by ELR. Both are measured by true labels after every epoch.
    """

    photos: PositiveInt = Field(description="training images")
    test: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further test images, on which the best epoch is chosen")
    epochs: PositiveInt = Field(description="epochs of each training")
    rate: float = Field(description="share of wrong labels", gt=0, lt=1)
    strength: PositiveFloat = Field(description="lambda of ELR")
    betas: tuple[float, ...] = Field(description="decays of ELR's targets; the first is judged", min_length=1)
    seeds: PositiveInt = Field(description="seeds of training and noise")
    draws: int = Field(description="draws of the linear model", ge=2)

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
            decide("memorises", "wrong labels memorised", plain["memorised"], above=HALF, opposed_below=-math.inf),
            decide("memorises", "accuracy, best epoch minus last", unpaired(plain["best"], plain["last"]), above=DROP),
        ]
        if not all(check.holds for check in first):
            names = ("gain", "less-memorised", "no-early-stopping")
            return [*first, *(Check("not judged: plain training memorises too little", False, name) for name in names)]
        less = unpaired(scaled(plain["memorised"], 1 / THIRD), elr["memorised"])
        more = unpaired(plain["memorised"], elr["memorised"])
        words = "a third of the share memorised by plain training, minus ELR's"
        memory = decide("less-memorised", words, less, opposed_below=-math.inf)
        return [
            *first,
            decide("gain", "last accuracy, ELR minus cross-entropy", part["elr_minus_plain"], above=GAIN),
            replace(memory, opposed=more["high"] < 0, short=memory.short and more["high"] >= 0),
            decide(
                "no-early-stopping", "accuracy, ELR's last minus the best epoch of cross-entropy",
                unpaired(elr["last"], plain["best"]), above=-NEAR,
            ),
        ]  # fmt: skip

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        epochs = ", ".join(str(part[PLAIN]["best_epoch"]) for _, part in seeds_in(measured))
        return f"Plain training was best after epoch {epochs} of {self.epochs}."

"""`label-noise-suite`: finding and withstanding the wrong labels that people give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in
from unshaken.papers.effects import unpaired

SMALL = "conv-242k"
PLAIN = "plain"
RECIPES: Mapping[str, str] = {
    "gce": "gce",
    "sce": "sce",
    "elr": "elr",
    "co-teaching": "co-teaching:noise_rate={rate:.3f}",
}
"""Arm to its recipe; `rate` is the estimate by confident learning, not the truth."""
HUMAN, MATCHED, INSIDE, OUTSIDE = "human", "matched", "inside", "outside"
"""People's labels; synthetic ones of the same transitions; people's, by a network that learned from them, and those of
the same images by networks that did not, where more images than these are examined."""
SCORES = ("self_confidence", "normalized_margin", "weighted_entropy")
MEMORY, LOST = "wrong labels memorised", "accuracy, best epoch minus last"
HALF, DROP = 0.5, 0.03
"""The precondition: share of wrong labels that plain training memorises, and accuracy that it loses after its best."""


@row(__file__)
class LabelNoisePaper(Paper):
    """Are the wrong labels that people give harder to find than synthetic ones, and do robust losses withstand them?

    CIFAR-10 with the labels of CIFAR-10N, about 40 % of them wrong. Rankings by out-of-sample probabilities look for
    them, and for synthetic ones with the same transitions between classes; and a network that memorises is trained by
    cross-entropy and by losses for noisy labels.
    """

    photos: PositiveInt = Field(description="training images, whose labels are also examined")
    further: NonNegativeInt = Field(description="more training images, whose labels are examined only")
    test: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further test images, on which the best epoch is chosen")
    human: str = Field(description="data SPEC of the same images with people's labels")
    folds: int = Field(description="parts of the cross-validation", ge=2)
    fold_epochs: PositiveInt = Field(description="epochs of each of its networks")
    epochs: PositiveInt = Field(description="epochs of the trainings that may memorise")
    arms: tuple[str, ...] = Field(
        description=f"losses for noisy labels, two or more of {', '.join(RECIPES)}", min_length=2
    )
    seeds: PositiveInt = Field(description="seeds of training and of synthetic noise")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.human]

    @model_validator(mode="after")
    def _known(self) -> LabelNoisePaper:
        if unknown := set(self.arms) - set(RECIPES):
            raise ValueError(f"no arm {sorted(unknown)[0]!r}; there are {', '.join(RECIPES)}")
        return self

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        own, over = in_every_seed(measured, self._of_one_seed), measured["over_seeds"]
        memory, lost = (all(c.holds for c in own if c.words.partition(": ")[2].startswith(w)) for w in (MEMORY, LOST))
        checks, hidden, robust = [*super().judge(measured), *own], "out-of-sample", "robust-losses"
        if memory:
            checks.append(decide(hidden, "AUROC, out of sample minus in sample", over["hidden"]))
        else:
            checks.append(Check("not judged: plain training memorises too little", False, hidden))
        if memory and lost:
            gains = [over[f"{arm}_minus_plain"] for arm in self.arms]
            second = sorted(gains, key=lambda gain: -math.inf if gain["low"] is None else -float(gain["low"]))[1]
            checks.append(decide(robust, "last accuracy, second best recipe minus cross-entropy", second))
        else:
            checks.append(Check("not judged: plain training memorises too little, or loses too little", False, robust))
        return checks

    def _of_one_seed(self, part: Mapping[str, Any]) -> list[Check]:
        """What is asked of every network: that its ranking finds, and that it memorises."""
        precision = part[HUMAN]["self_confidence"]["average_precision"]
        memory = decide("memorises", MEMORY, part[PLAIN]["memorised"], above=HALF, opposed_below=-math.inf)
        loss = unpaired(part[PLAIN]["best"], part[PLAIN]["last"])
        words = f"{LOST}, wanted {DROP:g} or more: {loss['value']:+.4f}"
        return [
            decide("found", "average precision of self-confidence", precision, above=part[HUMAN]["wrong_labels"],
                   opposed_below=part[HUMAN]["wrong_labels"]),
            memory,
            Check(words, loss["value"] >= DROP, "memorises", loss["high"] < 0),
        ]  # fmt: skip

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        shares = "; ".join(
            f"{name}: {part[HUMAN]['estimate']:.3f} of {part[HUMAN]['wrong_labels']:.3f}"
            for name, part in seeds_in(measured)
        )
        return f"Share of wrong labels of people as confident learning estimates it, and in truth: {shares}."

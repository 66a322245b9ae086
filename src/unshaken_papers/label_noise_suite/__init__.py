"""`label-noise-suite`: finding and withstanding the wrong labels that people give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide, in_every_seed, seeds_in
from unshaken.papers.effects import unpaired

SMALL = "conv-242k"
PLAIN = "plain"
RECIPES: Mapping[str, str] = {
    "gce": "gce",
    "sce": "sce",
    "elr": "elr",
    "co-teaching": "co-teaching:rate={rate:.3f}",
}
"""Arm to its recipe; `rate` is the estimate by confident learning, not the truth."""
HUMAN, MATCHED, INSIDE, OUTSIDE = "human", "matched", "inside", "outside"
"""People's labels; synthetic ones of the same transitions; people's, by a network that learned from them, and those of
the same images by networks that did not, where more images than these are examined."""
SCORES = ("self_confidence", "normalized_margin", "weighted_entropy")
HALF, DROP = 0.5, 0.03
"""The precondition: share of wrong labels that plain training memorises, and accuracy that it loses after its best."""


@register("label-noise-suite", reference="Wei et al. 2022, arXiv:2110.12088; Northcutt et al. 2021, arXiv:1911.00068")
class LabelNoisePaper(Paper):
    """Are the wrong labels that people give harder to find than synthetic ones, and do robust losses withstand them?

    CIFAR-10 with the labels of CIFAR-10N, about 40 % of them wrong. Rankings by out-of-sample probabilities look for
    them, and for synthetic ones with the same transitions between classes; and a network that memorises is trained by
    cross-entropy and by losses for noisy labels.
    """

    title: ClassVar[str] = "Learning with Noisy Labels Revisited: people's wrong labels, found and withstood"
    claim: ClassVar[str] = (
        "Rankings by out-of-sample probabilities find wrong labels, those of people less well than synthetic ones with "
        "the same transitions; and robust losses end above cross-entropy, which memorises them."
    )
    summary: ClassVar[str] = (
        "People's wrong labels are harder to find than synthetic ones; robust losses withstand them."
    )
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "found": ClaimPart(
            statement="A ranking by out-of-sample probabilities finds the wrong labels of people.",
            rule="Shown if, in every seed that is run, the average precision of self-confidence is above the share of "
            "wrong labels; contradicted if it is below.",
        ),
        "human-harder": ClaimPart(
            statement="People's wrong labels are harder to find than synthetic ones of the same transitions.",
            rule="Shown if, in every seed that is run, the AUROC of self-confidence is lower for people's labels than "
            "for the synthetic ones, by intervals that are apart; contradicted if it is higher.",
        ),
        "memorises": ClaimPart(
            statement="A network trained by cross-entropy memorises wrong labels, and loses accuracy by it.",
            rule=f"Judged first. Shown if, in every seed that is run, at least {HALF:.0%} of the wrong labels are "
            f"predicted as labelled after the last epoch, and accuracy by true labels is at least {DROP:.0%} below "
            "that of the best epoch, chosen on other images; contradicted if accuracy rises by its interval.",
        ),
        "robust-losses": ClaimPart(
            statement="Losses for noisy labels end above cross-entropy.",
            rule="Shown if plain training memorises and at least two of the recipes end above it in accuracy by true "
            "labels, in every seed that is run; contradicted if all but one end below.",
        ),
        "out-of-sample": ClaimPart(
            statement="Probabilities of the network that memorised the labels hide their errors.",
            rule=f"Shown if, in every seed that is run, plain training memorises at least {HALF:.0%} of the wrong "
            "labels and its own probabilities have a lower AUROC than out-of-sample ones, by intervals that are apart; "
            "contradicted if they have a higher one.",
            central=False,
        ),
        "reviewed": ClaimPart(
            statement="Confident learning agrees with what people say of CIFAR-10's test labels.",
            untried="the counts on that set are checked by the tests of the finders, not by this experiment.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "CIFAR-10N: 40.21 % of the labels `worse` are wrong; best of three: 9.01 %. SCE's "
        "re-implementation, 40 % symmetric noise, best epoch: 72.77 % by cross-entropy, 84.65 % by SCE"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.human.self_confidence.auroc": ("Wrong labels of people, found by self-confidence", "AUROC"),
        "seed*.matched.self_confidence.auroc": ("Synthetic ones of the same transitions", "AUROC"),
        "seed*.inside.self_confidence.auroc": ("Those of people, by the network that memorised them", "AUROC"),
        "seed*.human.self_confidence.average_precision": ("Wrong labels of people", "average precision"),
        "seed*.plain.last": ("After the last epoch, cross-entropy", "accuracy"),
        "seed*.plain.best": ("At its best epoch, cross-entropy", "accuracy"),
        "seed*.gce.last": ("After the last epoch, GCE", "accuracy"),
        "seed*.elr.last": ("After the last epoch, ELR", "accuracy"),
        "seed*.plain.memorised": ("Wrong labels memorised, cross-entropy", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Networks of 24,000 parameters look for wrong labels, one of 242,000 memorises them; no image is augmented.",
        "Images are made 16 by 16 pixels. The network that memorises is trained by Adam at a constant rate, without "
        "weight decay: the cheapest setting found in which it loses accuracy by memorising. A hidden layer trained by "
        "SGD with a falling rate memorises 80 % of the wrong labels of 3,000 images of full size, and loses nothing.",
        "The images of CIFAR-10 are JPEG files.",
        "The best epoch of cross-entropy is chosen on clean images apart from the test: an oracle, in its favour.",
    )
    data: ClassVar[str] = "cifar10?size=16"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "epochs": {"epoch": "int32", "correct": "int32", "n": "int32"},
        "memorised": {"epoch": "int32", "memorised": "double", "corrected": "double", "fitted": "double"},
        "training": {"given": "int32", "truth": "int32", "predicted": "int32"},
        "suspicion": {"given": "int32", "truth": "int32", **dict.fromkeys(SCORES, "double"), "estimate": "double"},
    }
    chooses: ClassVar[Mapping[str, str]] = {"epochs": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "photos": 8000,
        "further": 12_000,
        "fold_epochs": 10,
        "test": 4000,
        "choosing": 1000,
        "epochs": 20,
        "arms": ("gce", "sce", "elr", "co-teaching"),
    }

    photos: PositiveInt = Field(6000, description="training images, whose labels are also examined")
    further: NonNegativeInt = Field(0, description="more training images, whose labels are examined only")
    test: PositiveInt = Field(2000, description="test images")
    choosing: PositiveInt = Field(1000, description="further test images, on which the best epoch is chosen")
    human: str = Field("cifar10n:worse", description="data SPEC of the same images with people's labels")
    folds: int = Field(3, description="parts of the cross-validation", ge=2)
    fold_epochs: PositiveInt = Field(6, description="epochs of each of its networks")
    epochs: PositiveInt = Field(13, description="epochs of the trainings that may memorise")
    arms: Annotated[tuple[str, ...], PlusSeparated] = Field(
        ("gce", "elr"), description=f"losses for noisy labels, two or more of {', '.join(RECIPES)}", min_length=2
    )
    seeds: PositiveInt = Field(3, description="seeds of training and of synthetic noise")

    @model_validator(mode="after")
    def _known(self) -> LabelNoisePaper:
        if unknown := set(self.arms) - set(RECIPES):
            raise ValueError(f"no arm {sorted(unknown)[0]!r}; there are {', '.join(RECIPES)}")
        return self

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return in_every_seed(measured, self._of_one_seed)

    def _of_one_seed(self, part: Mapping[str, Any]) -> list[Check]:
        human, matched, inside = (part[name]["self_confidence"]["auroc"] for name in (HUMAN, MATCHED, INSIDE))
        outside = part.get(OUTSIDE, part[HUMAN])["self_confidence"]["auroc"]
        precision = part[HUMAN]["self_confidence"]["average_precision"]
        memory = decide("memorises", "wrong labels memorised", part[PLAIN]["memorised"], above=HALF)
        memory = replace(memory, opposed=False)
        loss = unpaired(part[PLAIN]["best"], part[PLAIN]["last"])
        words = f"accuracy, best epoch minus last, wanted {DROP:g} or more"
        lost = Check(f"{words}: {loss['value']:+.4f}", loss["value"] >= DROP, "memorises", loss["high"] < 0)
        checks = [
            decide("found", "average precision of self-confidence", precision, above=part[HUMAN]["wrong_labels"],
                   opposed_below=part[HUMAN]["wrong_labels"]),
            decide("human-harder", "AUROC of self-confidence, synthetic minus people's", unpaired(matched, human)),
            memory,
            lost,
        ]  # fmt: skip
        hidden, robust = "out-of-sample", "robust-losses"
        if memory.holds:
            checks.append(decide(hidden, "AUROC, out of sample minus in sample", unpaired(outside, inside)))
        else:
            checks.append(Check("not judged: plain training memorises too little", False, hidden))
        if memory.holds and lost.holds:
            gains = sorted((part[f"{arm}_minus_plain"] for arm in self.arms), key=lambda g: -float(g["low"]))
            checks.append(decide(robust, "last accuracy, second best recipe minus cross-entropy", gains[1]))
        else:
            checks.append(Check("not judged: plain training memorises too little, or loses too little", False, robust))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        shares = "; ".join(
            f"{name}: {part[HUMAN]['estimate']:.3f} of {part[HUMAN]['wrong_labels']:.3f}"
            for name, part in seeds_in(measured)
        )
        return f"Share of wrong labels of people as confident learning estimates it, and in truth: {shares}."

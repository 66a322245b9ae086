"""`dverge`: an ensemble whose members are vulnerable to different things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, pilot, seeds_in
from unshaken.papers.effects import unpaired

TINY = "tiny-cnn"
COUNT = 3
ARMS: Mapping[str, Literal["clean", "noise", "others", "own"]] = {
    "extra-ce": "clean",
    "noise-ce": "noise",
    "dverge": "others",
    "self-distilled": "own",
}
"""Arm to what its members learn from."""
CARRIED = (0.05, 0.1)
"""Radii of attacks carried over, from member to member and from surrogates."""
DIRECT = (0.03, 0.05)
"""Radii of attacks on the ensemble itself."""
WAYS = ("probabilities", "logits")
"""The output of the ensemble that is attacked: the mean of its probabilities, or of its logits."""
FALL, CLEAN = 0.1, 0.08
BLACK_BOX = "black-box-0.1"
WORDS: Mapping[str, str] = {
    "extra-ce": "extra cross-entropy",
    "noise-ce": "cross-entropy on noise",
    "self-distilled": "learning from oneself",
}


@register("dverge", reference="Yang et al. 2020, arXiv:2009.14720")
class DvergePaper(Paper):
    """Do members that learn from one another's distilled images share fewer vulnerabilities?

    Three tiny networks on Fashion-MNIST, trained on from the same baselines in four ways: cross-entropy, cross-entropy
    on noise of random signs, DVERGE, and images distilled from the member itself. Attacks are carried over from member
    to member, and from an ensemble of other baselines.
    """

    title: ClassVar[str] = "DVERGE: Diversifying Vulnerabilities for Enhanced Robust Generation of Ensembles"
    claim: ClassVar[str] = (
        "Training each member of an ensemble on images distilled from the others makes their vulnerabilities diverse: "
        "the ensemble resists transferred attacks at little clean accuracy, without adversarial training."
    )
    summary: ClassVar[str] = "Members that learn from one another's distilled images share fewer vulnerabilities."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "diversity": ClaimPart(
            statement="Members that learn from one another's distilled images share fewer vulnerabilities.",
            rule="Shown if, in every seed that is run, the success rate of attacks from member to member at 0.1 is at "
            "least 10 points below that of equal extra epochs of cross-entropy, by intervals that are apart; "
            "contradicted if it is above.",
        ),
        "transfer": ClaimPart(
            statement="Without adversarial training, the ensemble resists attacks transferred from other ensembles.",
            rule="Shown if, in every seed that is run, accuracy on the surrogates' examples at 0.1 rises above that of "
            "equal extra epochs of cross-entropy; contradicted if it falls.",
        ),
        "clean-cost": ClaimPart(
            statement="It costs little clean accuracy.",
            rule="Shown if, in every seed that is run, the ensemble loses less than 8 points against equal extra "
            "epochs of cross-entropy; contradicted if it loses more.",
        ),
        "beyond-noise": ClaimPart(
            statement="The gain is one of distilled images: training with noise of the same size gives less.",
            rule="Shown if, in every seed that is run, DVERGE has a lower success rate from member to member, a higher "
            "accuracy on the surrogates' examples and a higher clean accuracy than cross-entropy on noise of the same "
            "size; contradicted if one of them is the other way.",
        ),
        "from-the-others": ClaimPart(
            statement="The gain is one of the other members' images: those distilled from the member itself give less.",
            rule="Shown if, in every seed that is run, DVERGE has a lower success rate from member to member and a "
            "higher accuracy on the surrogates' examples than members that learn from images distilled from "
            "themselves; contradicted if one of them is the other way.",
            central=False,
        ),
        "more-members": ClaimPart(
            statement="Robustness improves from three to five to eight members.",
            untried="all ensembles have three members; needs a run with five and eight.",
            central=False,
        ),
        "other-ensembles": ClaimPart(
            statement="It withstands transferred attacks better than the ensemble methods ADP and GAL.",
            untried="neither is trained beside it; needs a run with both.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "from the abstract: beats ADP and GAL on transferred attacks, improves from 3 to 5 to 8 members, "
        "small loss of clean accuracy",
        **pilot(
            "extra-ce.clean 0.83, extra-ce.transfer-0.05 0.328, extra-ce.transfer-0.1 0.721, "
            "extra-ce.black-box-0.05 0.453, extra-ce.black-box-0.1 0.077, extra-ce.white-box-0.05 0.147, "
            "extra-ce.diversity.between 3.39, dverge.clean 0.786, dverge.transfer-0.05 0.009, dverge.transfer-0.1 "
            "0.039, dverge.black-box-0.05 0.747, dverge.black-box-0.1 0.653, dverge.white-box-0.05 0.553, "
            "dverge.diversity.between 6.03",
            "seed0",
        ),
        **pilot(
            "extra-ce.clean 0.842, extra-ce.transfer-0.05 0.446, extra-ce.transfer-0.1 0.932, "
            "extra-ce.black-box-0.05 0.385, extra-ce.black-box-0.1 0.015, extra-ce.white-box-0.05 0.095, "
            "extra-ce.diversity.between 3.16, noise-ce.clean 0.689, noise-ce.transfer-0.1 0.285, "
            "noise-ce.black-box-0.1 0.535, noise-ce.diversity.between 4.61, dverge.clean 0.781, "
            "dverge.transfer-0.05 0.021, dverge.transfer-0.1 0.07, dverge.black-box-0.05 0.76, dverge.black-box-0.1 "
            "0.615, dverge.white-box-0.05 0.56, dverge.diversity.between 6.2",
            "seed1",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.dverge_minus.extra-ce.black-box-0.1": (
            "Accuracy under transferred attacks at 0.1, gain by DVERGE",
            "accuracy",
        ),
        "seed*.dverge.black-box-0.1": ("Under transferred attacks at 0.1, DVERGE", "accuracy"),
        "seed*.extra-ce.black-box-0.1": ("Under transferred attacks at 0.1, equal extra training", "accuracy"),
        "seed*.self-distilled.black-box-0.1": ("Under transferred attacks at 0.1, distilled from itself", "accuracy"),
        "seed*.dverge.clean": ("Clean images, DVERGE", "accuracy"),
        "seed*.extra-ce.clean": ("Clean images, equal extra training", "accuracy"),
        "seed*.dverge.white-box-0.05": ("Attacked itself at 0.05, DVERGE", "accuracy"),
        "seed*.dverge.transfer-0.1": ("Attacks passing from member to member at 0.1, DVERGE", "success rate"),
        "seed*.extra-ce.transfer-0.1": ("The same, equal extra training", "success rate"),
        "seed*.noise-ce.transfer-0.1": ("The same, training with noise of the same size", "success rate"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Three networks of 8,610 parameters on Fashion-MNIST.",
        "Intervals are over images; every part is judged in each seed.",
        "The attack on the ensemble itself is PGD alone, so that accuracy under it is an upper bound.",
        "Images are distilled in evaluation mode, with eps 0.15, 5 steps, and a layer drawn each epoch from four "
        "convolutions and the logits.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = TINY
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "diversity": {"method": "string", "source": "int32", "judge": "int32", "loss": "double"}
    }

    full: ClassVar[Mapping[str, Any]] = {
        "photos": 1000,
        "attacked": 200,
        "images": 10_000,
        "baseline": 5,
        "epochs": 3,
        "steps": 50,
    }

    photos: PositiveInt = Field(500, description="test images for clean accuracy, those to attack among them")
    attacked: PositiveInt = Field(60, description="test images to attack, from the first")
    images: PositiveInt = Field(2000, description="training images")
    baseline: PositiveInt = Field(3, description="epochs of each baseline")
    epochs: PositiveInt = Field(2, description="epochs of each arm")
    seeds: PositiveInt = Field(3, description="seeds of training")
    steps: PositiveInt = Field(20, description="of PGD, each a fifth of the radius; 2/5 of them from member to member")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [check for name, part in seeds_in(measured) for check in self._checks(name, part)]

    def _checks(self, seed: str, part: Mapping[str, Any]) -> list[Check]:
        """Of one seed; success rates have no paired interval."""
        rates = {arm: part[arm]["transfer-0.1"] for arm in ARMS}
        less = part["dverge_minus"]

        def fall(arm: str, name: str, above: float = 0.0) -> Check:
            d, other = (part[a]["diversity"]["between"] for a in ("dverge", arm))
            words = f"{seed}: success rate from member to member at 0.1, {WORDS[arm]} minus DVERGE, not paired"
            words += f" (diversity d {other:.2f} and {d:.2f})"
            return decide(name, words, unpaired(rates[arm], rates["dverge"]), above=above)

        def gain(arm: str, name: str, label: str, above: float = 0.0) -> Check:
            what = {"clean": "clean accuracy", BLACK_BOX: "accuracy on the surrogates' examples at 0.1"}[label]
            return decide(name, f"{seed}: {what}, DVERGE minus {WORDS[arm]}", less[arm][label], above=above)

        return [
            fall("extra-ce", "diversity", FALL),
            gain("extra-ce", "transfer", BLACK_BOX),
            gain("extra-ce", "clean-cost", "clean", -CLEAN),
            fall("noise-ce", "beyond-noise"),
            gain("noise-ce", "beyond-noise", BLACK_BOX),
            gain("noise-ce", "beyond-noise", "clean"),
            fall("self-distilled", "from-the-others"),
            gain("self-distilled", "from-the-others", BLACK_BOX),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = [part for _, part in seeds_in(measured)]
        own, ours = ([p[arm]["black-box-0.1"]["value"] for p in seeds] for arm in ("self-distilled", "dverge"))
        if any(a < b for a, b in zip(own, ours, strict=True)):
            return ""
        return (
            "Members that learn from images distilled from themselves withstand the transferred attacks no less than "
            "DVERGE: that gain is one of training on distilled images. Diversity shows between the members."
        )

"""`adaptive-smoothing`: an accurate and a robust network mixed, against the chord between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, pilot, seeds_in
from unshaken.papers.effects import across_seeds, values_of

ALPHAS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SCALES = (1, 2)
LOSSES: tuple[Literal["ce", "margin"], ...] = ("ce", "margin")
SHARES = (0.25, 0.5, 0.75)
BIASES = (0.0, 1.0, 2.0)
CERTIFIED = (0.6, 0.7, 0.8, 0.9, 1.0)
RULES: tuple[Literal["sharp", "published"], ...] = ("sharp", "published")
JUDGED = ("a0.7", "a0.8", "a0.9", "a0.95")
"""The weights of which one must lie far above the chord."""
MIXTURES = tuple((scale, weight) for scale in SCALES for weight in JUDGED)
ABOVE = 0.10
MOST = 0.5
PAIR = "g|h"


@register("adaptive-smoothing", reference="Bai et al. 2023, arXiv:2301.12554")
class AdaptiveSmoothingPaper(Paper):
    """Does a mixture of probabilities keep most of the robust network's robustness and of the other's accuracy?

    Two networks of 19,000 parameters on Fashion-MNIST, one trained plainly, one adversarially; mixtures with fixed
    weights under PGD through the whole, three seeds. Besides: a mixing network, and certificates of mixtures with a
    third network that was trained with noise. With models of one's own, given as `ACCURATE|ROBUST`, the
    sweep over them.
    """

    title: ClassVar[str] = "Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing"
    claim: ClassVar[str] = (
        "Mixing the class probabilities of an accurate and a robust network keeps most of the accuracy of one and most "
        "of the robustness of the other, because the robust one is far surer when it is right, even under attack, than "
        "when it is wrong. A small network that sets the weight by input improves the trade-off further."
    )
    summary: ClassVar[str] = "Mixing an accurate and a robust network keeps most of the accuracy and the robustness."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "margin": ClaimPart(
            statement="Even under attack the robust network is far surer where it is right than where it is wrong.",
            rule="Shown if its mean confidence margin under PGD is larger where it is right in every seed, and the "
            "interval over seeds of the difference lies above 0; contradicted if that lies below.",
        ),
        "trade-off": ClaimPart(
            statement="A mixture is far better than the straight line between the points (clean, robust accuracy) of "
            "the two networks.",
            rule="Robust accuracy is the worst of PGD on cross-entropy and on margin, through the whole mixture. The "
            "best weight in [0.7, 0.95] is chosen by half of the images and judged on the others. Shown if it is at "
            "least 10 points above the line in every seed, and the interval over seeds lies above 10 points; "
            "contradicted if that lies below 0.",
        ),
        "keeps-most": ClaimPart(
            statement="It keeps most of the accuracy that the one network has over the other, and most of the other's "
            "robustness.",
            rule="Shown if at the best weight in [0.7, 0.95], chosen likewise, the smaller of the two shares is above "
            "one half, by the interval over seeds; contradicted if that lies below.",
        ),
        "mixing-network": ClaimPart(
            statement="A small network that detects attacks and sets the weight for each input improves the trade-off "
            "further.",
            rule="Under attacks on the whole that know it, at the best of three biases, chosen likewise: shown if its "
            "clean accuracy is above that of fixed weights of equal robust accuracy, contradicted if it is below; by "
            "the interval over seeds.",
        ),
        "certificate": ClaimPart(
            statement="A mixture with a fixed weight is certified where the robust network is.",
            rule="Votes of a network trained with noise, published formula, radius 0.1 in l2: shown if a weight of 0.8 "
            "keeps more than half of the certified accuracy of weight 1, by the interval over seeds; contradicted if "
            "that lies below.",
            central=False,
        ),
        "published-scale": ClaimPart(
            statement="On CIFAR-100 it adds ten points of clean accuracy to the most robust models of RobustBench.",
            untried="it needs the published networks (ResNet-152 and WRN-70-16) and AutoAttack on CIFAR-100.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "CIFAR-100: clean 85.21, AutoAttack at 8/255 38.72; CIFAR-10: 95.23 and 68.06, in % (README)",
        **pilot(
            "g.clean 0.873, g.worst 0, h.clean 0.806, h.worst 0.723, h.margin.clean.right 0.68, "
            "h.margin.clean.wrong 0.22, h.margin.attacked.right 0.63, h.margin.attacked.wrong 0.25, T1.a0.7.clean "
            "0.854, T1.a0.7.worst 0.533, T1.a0.8.clean 0.846, T1.a0.8.worst 0.630, T1.a0.9.clean 0.830, "
            "T1.a0.9.worst 0.683, T1.a0.9.above_chord 0.22, T2.a0.7.clean 0.839, T2.a0.7.worst 0.647, T2.a0.8.clean "
            "0.830, T2.a0.8.worst 0.680, T2.a0.9.clean 0.820, T2.a0.9.worst 0.697",
            "seed0",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.T1.a0.7.above_chord": ("Robust accuracy above the straight line, weight 0.7", "accuracy"),
        "seed*.T1.a0.7.clean": ("Mixture of weight 0.7, clean images", "accuracy"),
        "seed*.T1.a0.7.worst": ("Mixture of weight 0.7, under PGD", "accuracy"),
        "seed*.g.clean": ("Accurate network, clean images", "accuracy"),
        "seed*.h.clean": ("Robust network, clean images", "accuracy"),
        "seed*.h.worst": ("Robust network, under PGD", "accuracy"),
        "seed*.T1.a0.8.worst": ("Mixture of weight 0.8, attacked as a whole", "accuracy"),
        "seed*.careless.from_h": ("Mixture of weight 0.8, attacked through the robust network", "accuracy"),
        "seed*.h.margin.attacked.right": ("Margin of the robust network where it is right, attacked", "confidence"),
        "seed*.h.margin.attacked.wrong": ("Margin of the robust network where it is wrong, attacked", "confidence"),
    }
    differs: ClassVar[Sequence[str]] = (
        "The weight is that of the robust network. The straight line joins the two networks' points (clean, robust "
        "accuracy).",
        "Networks of 19,000 parameters on Fashion-MNIST; PGD in the place of AutoAttack.",
        "The certificates are of mixtures with a third network, trained with noise.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = PAIR

    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 5, "train": 10_000, "test": 10_000, "attacked": 300, "steps": 20, "mixing": 5000, "certified": 100,
        "votes": 1000,
    }  # fmt: skip

    train: PositiveInt = Field(8_000, description="training images of each network, a stratified subset")
    test: PositiveInt = Field(2_000, description="test images")
    attacked: PositiveInt = Field(200, description="of these, images that are attacked")
    epochs: PositiveInt = Field(3, description="of the networks trained without attacks")
    robust_epochs: PositiveInt = Field(4, description="of the adversarial training")
    seeds: PositiveInt = Field(3, description="seeds of training")
    eps: PositiveFloat = Field(0.1, description="radius in linf of training and attacks, in [0, 1] pixel units")
    steps: PositiveInt = Field(10, description="of PGD, each 2.5 radii over their number long")
    mixing: NonNegativeInt = Field(2000, description="training images of the mixing network; 0 for none")
    mixing_epochs: PositiveInt = Field(2, description="of the mixing network")
    sigma: NonNegativeFloat = Field(0.25, description="noise of the certificates; 0 for none")
    certified: PositiveInt = Field(60, description="test images that are voted on")
    votes: PositiveInt = Field(500, description="fresh votes each")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        seeds = dict(seeds_in(measured))
        return [*_margins(seeds), *_trade_off(seeds), *_mixing(seeds), *_certificates(seeds)]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        low = ", ".join(f"{p['T1']['a0.3']['worst']['value']:.3f}" for _, p in seeds_in(measured))
        return f"At weight 0.3 robust accuracy is {low}: below one half the accurate network decides."


def _margins(seeds: Mapping[str, Any]) -> list[Check]:
    checks, gaps = [], []
    for name, part in seeds.items():
        margin = part["h"]["margin"]["attacked"]
        words = (
            f"{name}: margin under attack {_said(margin['right'])} where right, {_said(margin['wrong'])} where wrong"
        )
        checks.append(Check(words, margin["gap"] is not None and margin["gap"] > 0, "margin"))
        gaps.append(margin["gap"])
    if None not in gaps:
        checks.append(decide("margin", "over seeds: margin where right less that where wrong", gaps))
    return checks


def _trade_off(seeds: Mapping[str, Any]) -> list[Check]:
    """Of the eight mixtures, the one that other images chose: against the chord, and what it keeps of both networks."""
    checks = []
    for name, part in seeds.items():
        one = part["chosen"]["trade_off"]
        words = (
            f"{name}: {one['mixture']}: clean {one['clean']['value']:.3f}, robust {one['worst']['value']:.3f}, "
            f"{100 * one['met']:+.1f} points above the line"
        )
        checks.append(Check(words, one["met"] >= ABOVE, "trade-off"))
    shares = "the smaller of the shares kept of accuracy and of robustness"
    for part, bound, opposed, end, what in (
        ("trade-off", ABOVE, 0.0, 1.0, "robust accuracy above the line"),
        ("keeps-most", MOST, MOST, math.inf, shares),  # a mixture may be better than both
    ):
        own = [seed["chosen"][part.replace("-", "_")] for seed in seeds.values()]
        effect = across_seeds([one["met"] for one in own], low=-end, high=end)
        words = f"over seeds, {own[0]['mixture']}: {what}"
        checks.append(decide(part, words, effect, above=bound, opposed_below=opposed))
    return checks


def _mixing(seeds: Mapping[str, Any]) -> list[Check]:
    own = [one["mixing_network"] for part in seeds.values() if "mixing_network" in (one := part["chosen"])]
    if not own:
        return []
    words = f"over seeds, bias {own[0]['bias']}: clean accuracy gained"
    return [decide("mixing-network", words, values_of(own, "gain"))]


def _certificates(seeds: Mapping[str, Any]) -> list[Check]:
    own = [part["certified"] for part in seeds.values() if "certified" in part]
    shares = [[one[weight]["published"]["r0.1"]["value"] for one in own] for weight in ("a0.8", "a1")]
    if not own or min(shares[1]) <= 0:
        return []
    kept = [mixed / alone for mixed, alone in zip(*shares, strict=True)]
    words = f"over seeds: share kept of the certified accuracy, {sum(shares[1]) / len(own):.3f} at weight 1"
    return [decide("certificate", words, across_seeds(kept, low=0.0, high=math.inf), above=MOST, opposed_below=MOST)]


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"

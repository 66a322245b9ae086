"""`adaptive-smoothing`: an accurate and a robust network mixed, against the chord between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
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


@row(__file__)
class AdaptiveSmoothingPaper(Paper):
    """Does a mixture of probabilities keep most of the robust network's robustness and of the other's accuracy?

    Two networks of 19,000 parameters on Fashion-MNIST, one trained plainly, one adversarially; mixtures with fixed
    weights under PGD through the whole, three seeds. Besides: a mixing network, and certificates of mixtures with a
    third network that was trained with noise. With models of one's own, given as `ACCURATE|ROBUST`, the
    sweep over them.
    """

    train: PositiveInt = Field(description="training images of each network, a stratified subset")
    test: PositiveInt = Field(description="test images")
    attacked: PositiveInt = Field(description="of these, images that are attacked")
    epochs: PositiveInt = Field(description="of the networks trained without attacks")
    robust_epochs: PositiveInt = Field(description="of the adversarial training")
    seeds: PositiveInt = Field(description="seeds of training")
    eps: PositiveFloat = Field(description="radius in linf of training and attacks, in [0, 1] pixel units")
    steps: PositiveInt = Field(description="of PGD, each 2.5 radii over their number long")
    mixing: NonNegativeInt = Field(description="training images of the mixing network; 0 for none")
    mixing_epochs: PositiveInt = Field(description="of the mixing network")
    sigma: NonNegativeFloat = Field(description="noise of the certificates; 0 for none")
    certified: PositiveInt = Field(description="test images that are voted on")
    votes: PositiveInt = Field(description="fresh votes each")

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
            f"{name}: margin under attack {_text(margin['right'])} where right, {_text(margin['wrong'])} where wrong"
        )
        checks.append(Check(words, margin["gap"] is not None and margin["gap"] > 0, "margin"))
        gaps.append(margin["gap"])
    if None not in gaps:
        checks.append(decide("margin", "over seeds: margin where right less that where wrong", gaps))
    return checks


def _trade_off(seeds: Mapping[str, Any]) -> list[Check]:
    """Check the mixture that other images chose, of eight: against the chord, and what it keeps of both networks."""
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


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"

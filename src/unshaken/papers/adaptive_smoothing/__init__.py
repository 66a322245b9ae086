"""`adaptive-smoothing`: an accurate and a robust network mixed, against the chord between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper, pilot, seeds_in

ALPHAS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SCALES = (1, 2)
LOSSES: tuple[Literal["ce", "margin"], ...] = ("ce", "margin")
SHARES = (0.25, 0.5, 0.75)
BIASES = (0.0, 1.0, 2.0)
CERTIFIED = (0.6, 0.7, 0.8, 0.9, 1.0)
RULES: tuple[Literal["sharp", "published"], ...] = ("sharp", "published")
JUDGED = ("a0.7", "a0.8", "a0.9", "a0.95")
"""The weights of which one must lie far above the chord."""
ABOVE = 0.10
PAIR = "g|h"


@register("adaptive-smoothing", reference="Bai et al. 2023, arXiv:2301.12554")
class AdaptiveSmoothingPaper(Paper):
    """Does a mixture of probabilities keep most of the robust network's robustness and of the other's accuracy?

    Two networks of 19,000 parameters on Fashion-MNIST, one trained plainly, one adversarially; mixtures with fixed
    weights under PGD through the whole, three seeds. Besides: a mixing network for the first seed, and certificates of
    mixtures with a third network that was trained with noise. With models of one's own, given as `ACCURATE|ROBUST`, the
    sweep over them.
    """

    title: ClassVar[str] = "Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing"
    claim: ClassVar[str] = (
        "Mixing the class probabilities of an accurate and a robust network keeps most of the accuracy of one and most "
        "of the robustness of the other, because the robust one is far surer when it is right, even under attack, than "
        "when it is wrong."
    )
    summary: ClassVar[str] = "Mixing an accurate and a robust network keeps most of the accuracy and the robustness."
    rule: ClassVar[str] = (
        "Reproduced if both hold in every seed: (1) under attack the robust network's mean confidence margin is larger "
        "where it is right than where it is wrong; (2) at some weight in [0.7, 0.95] the mixture's robust accuracy "
        "(worst of PGD on cross-entropy and on margin, through the whole) is at least 10 points above the straight "
        "line between the points (clean, robust) of the two networks."
    )
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
        "The mixing network and the certificates are outside the rule.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = PAIR

    train: PositiveInt = Field(20_000, description="training images of each network, a stratified subset")
    test: PositiveInt = Field(10_000, description="test images")
    attacked: PositiveInt = Field(500, description="of these, images that are attacked")
    epochs: PositiveInt = Field(4, description="of the networks trained without attacks")
    robust_epochs: PositiveInt = Field(5, description="of the adversarial training")
    seeds: PositiveInt = Field(3, description="seeds of training")
    eps: PositiveFloat = Field(0.1, description="radius in linf of training and attacks, in [0, 1] pixel units")
    steps: PositiveInt = Field(20, description="of PGD, each 2.5 radii over their number long")
    mixing: NonNegativeInt = Field(5000, description="training images of the mixing network; 0 for none")
    mixing_epochs: PositiveInt = Field(2, description="of the mixing network")
    sigma: NonNegativeFloat = Field(0.25, description="noise of the certificates; 0 for none")
    certified: PositiveInt = Field(200, description="test images that are voted on")
    votes: PositiveInt = Field(1000, description="fresh votes each")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        checks = []
        for name, part in seeds_in(measured):
            margin = part["h"]["margin"]["attacked"]
            gap = margin["gap"]
            words = f"{name}: under attack the robust network's margin is {_said(margin['right'])} where right, "
            words += f"{_said(margin['wrong'])} where wrong"
            checks.append(Check(words, gap is not None and gap > 0))
            scale, alpha = max(
                ((s, a) for s in SCALES for a in JUDGED), key=lambda p: part[f"T{p[0]}"][p[1]]["above_chord"]
            )
            best = part[f"T{scale}"][alpha]
            words = (
                f"{name}: weight {alpha[1:]}, T_h {scale}: clean {best['clean']['value']:.3f}, robust "
                f"{best['worst']['value']:.3f}, {100 * best['above_chord']:+.1f} points above the chord"
            )
            checks.append(Check(words, best["above_chord"] >= ABOVE))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Small weights, and the mixing network."""
        low = ", ".join(f"{p['T1']['a0.3']['worst']['value']:.3f}" for _, p in seeds_in(measured))
        said = f"At weight 0.3 robust accuracy is {low}: below one half the accurate network decides."
        gates = [gate["gain"] for _, p in seeds_in(measured) for gate in p.get("mixing_network", {}).values()]
        if gates:
            gains = ", ".join(f"{gain:+.4f}" for gain in gates)
            said += f" A network that chooses the weight changes clean accuracy at equal robust accuracy by {gains}."
        return said


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"

"""`adaptive-smoothing`: an accurate and a robust network mixed, against the chord between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row, seeds_in

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
    def remark(self, measured: Mapping[str, Any]) -> str:
        low = ", ".join(f"{p['T1']['a0.3']['worst']['value']:.3f}" for _, p in seeds_in(measured))
        choice = f"Half of the images chose {measured['over_seeds']['choice']}."
        return f"{choice} At weight 0.3 robust accuracy is {low}: below one half the accurate network decides."

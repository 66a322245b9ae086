"""PLS-LSA: PLS whose detector alternates between linear separation and small loss."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.harden.recipes.noisy_labels.pls import PLS, DetectorName


@register("pls-lsa", reference="Albert et al. 2024, ECCV, arXiv:2407.05528", group="noisy-labels")
class PLSLSA(PLS):
    """PLS-LSA: as `pls`, with labels doubted by linear separation and by small loss in turn, for labels from the web.

    In features that contrastive pretraining has made (`simclr`; begin with such a network), images of no class lie
    apart, and a line finds them better than their loss does. It also drops simple images that look like them, which
    the next epoch's detector takes back.
    """

    alternate: tuple[DetectorName, ...] = Field(
        default=("linear", "loss"),
        min_length=1,
        description="detectors, one an epoch in turn: linear, loss, rrl (neighbours), none, oracle",
    )
    guesses: PositiveInt = Field(default=1, le=8, description="weak views whose mean prediction is the guess")

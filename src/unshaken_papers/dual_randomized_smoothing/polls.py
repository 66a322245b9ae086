"""How networks are asked for votes in the experiment with dual smoothing, and votes from rows."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch

from unshaken.certify.smoothing.dual_smoothing import DualSmoothing
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.votes import Tally

SPLIT = "checkerboard"
EXPANSION = "repeat"


class Polls:
    """How the networks of one noise level are asked.

    Args:
        sigma: deviation of the noise on whole images; on halves it is this over the square root of 2.
        n: fresh votes of smoothing, and of each half.
        n0: votes of each half that choose the class; smoothing has as many as both.
        alpha: failure probability of each method's certificates.
    """

    def __init__(self, sigma: float, n: int, n0: int, alpha: float) -> None:
        self.sigma = sigma
        self.whole = Smoothing(sigma=sigma, n=n, n0=2 * n0, alpha=alpha)
        self.dual = DualSmoothing(sigma=sigma / sqrt(2), n=n, n0=n0, alpha=alpha, split=SPLIT, expansion=EXPANSION)

    def deviation(self, net: str) -> float:
        """Deviation of the noise that a network is asked about."""
        return self.whole.sigma if net == "full" else self.dual.sigma

    def name(self, seed: int, what: str) -> str:
        """Name of a condition."""
        return f"s{self.sigma:g}.seed{seed}.{what}"


def tally_of(rows: list[dict[str, Any]]) -> Tally:
    """Votes as they were counted, from rows."""
    selected, counts = (torch.tensor([r[k] for r in rows]) for k in ("selected", "counts"))
    level = torch.zeros(len(rows), dtype=torch.int64)
    return Tally(selected, counts, level, level > 0, level, torch.tensor([r["seconds"] for r in rows]).double())


def together(one: Tally, other: Tally) -> Tally:
    """The votes of two polls in one."""
    return one.replace(
        selected=one.selected + other.selected, counts=one.counts + other.counts, blank=one.blank + other.blank,
        seconds=one.seconds + other.seconds,
    )  # fmt: skip

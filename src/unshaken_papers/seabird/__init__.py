"""`seabird`: the gradient of the dice loss is quieter for longer objects; does that help maps of long objects?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row

DICE, BCE, DEPTH = "dice", "bce", "depth"
ARMS = (DICE, BCE, DEPTH)
"""Maps by dice and by cross-entropy, and depth by smooth L1."""
ONE_STAGE, TWO_STAGE = "one-stage", "two-stage"
STAGES = (ONE_STAGE, TWO_STAGE)
"""A detector trained by its boxes alone, and one whose map was learned by dice before, and is beside them."""
LARGE = 16.0
"""Length in cells from which an object counts as large."""
LENGTHS = (4.0, 12.0)
"""A car and a trailer, in metres."""
SIGMAS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)
"""Deviations of the noise in depth, in metres."""
NEAR, EXACT = 0.01, 1e-9
"""Largest departure of the crossing point from 1 / l, and of integrals from formulas, as shares."""


@row(__file__)
class SeaBirdPaper(Paper):
    """Is the dice loss less disturbed by noise in depth, and the more so the longer an object is?

    The theorem by integrals and by SGD on a linear head; and small U-Nets that learn synthetic maps whose labels are
    off in depth: by dice, by cross-entropy, and as a regression of depth with the size known. And a detector that
    reads a map, with and without a first stage that learned it by dice.
    """

    seeds: PositiveInt = Field(description="repetitions, each with scenes of its own")
    scenes: PositiveInt = Field(description="training scenes, whose labels are off in depth")
    tested: PositiveInt = Field(description="test scenes, with true maps")
    choosing: PositiveInt = Field(description="further scenes, on which learning rates are chosen")
    epochs: PositiveInt = Field(description="epochs of training")
    batch_size: PositiveInt = Field(description="scenes of a step")
    rates: tuple[PositiveFloat, ...] = Field(description="learning rates of Adam to choose from", min_length=1)
    noise: float = Field(description="deviation of labels in depth at the middle, in cells", ge=0)
    photos: PositiveInt = Field(description="images that are laid over scenes")
    runs: PositiveInt = Field(description="runs of SGD on the linear head, for each loss")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = super().judge(measured)
        for name, part in measured["theory"].items():
            crossing = measured["crossing"][name]
            off, ratio = part["departure"], part["largest_ratio_to_l1"]
            checks += [
                Check(f"length {name}: integrals are off by {off:.1e} at most", off < EXACT, "variance"),
                Check(
                    f"length {name}: dice has {ratio:.4f} of L1's variance at most", ratio < 1, "variance", ratio > 1
                ),
                Check(
                    f"length {name}: dice and L2 cross at {crossing:.6f}",
                    abs(crossing * float(name) - 1) < NEAR, "variance",
                ),
            ]  # fmt: skip
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        gaps = "; ".join(f"{name} cells {value['value']:+.3f}" for name, value in measured["gaps"].items())
        rates = ", ".join(f"{arm} {', '.join(map(str, values))}" for arm, values in measured["rates"].items())
        return f"IoU by length, dice minus regression: {gaps}. Learning rates by seed: {rates}."

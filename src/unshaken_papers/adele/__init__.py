"""`adele`: a segmentation network memorises wrong masks class by class, and its masks can be corrected before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row, seeds_in

KINDS = (1, 8, 9, 0)
"""Garments of the four foreground classes: trouser, bag, ankle boot, T-shirt."""
NAMES = ("trouser", "bag", "ankle_boot", "t_shirt")
PLAIN, GLOBAL, ADAPTIVE, FULL, AGREEING, ORACLE = "plain", "global", "adaptive", "adele", "consistency", "oracle"
ARMS = (PLAIN, ADAPTIVE, GLOBAL, FULL)
MORE = (AGREEING, ORACLE)
"""Further arms, of the full scale."""
APART, MEMORISED, CHANGE, UNLEARNED = 3, 2, 0.05, 0.05
"""Epochs between two classes' starts; classes that memorise; rise and fall that count as memorising; IoU below which a
class was never learned."""


@row(__file__)
class AdelePaper(Paper):
    """Do networks memorise wrong masks class by class, and do corrections from the end of early learning help?

    A small U-Net learns scenes of Fashion-MNIST silhouettes from masks that are grown, shrunk and incomplete: plainly,
    with corrections from one epoch for all classes, with corrections from each class's own epoch, and with those and
    agreement over three scales (ADELE).
    """

    seeds: PositiveInt = Field(description="repetitions, each with scenes and noise of its own")
    scenes: PositiveInt = Field(description="training scenes; few, or nothing is memorised")
    tested: PositiveInt = Field(description="test scenes, with true masks")
    garments: PositiveInt = Field(description="images of each garment from which scenes are drawn")
    epochs: PositiveInt = Field(description="epochs of training")
    batch_size: PositiveInt = Field(description="scenes of a step")
    lr: PositiveFloat = Field(description="largest learning rate, of Adam")
    every: PositiveInt = Field(description="epochs of a block, in which each class is corrected once")
    dropped: float = Field(ge=0, le=1, description="share of the bags that the annotator forgets")
    more: int = Field(ge=0, le=2, description="further arms: 1 consistency alone, 2 also starts told by the truth")

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the trainings, in the order in which they are run."""
        return (*ARMS, *MORE[: self.more])

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = super().judge(measured)
        for name, part in seeds_in(measured):
            n, apart, lowered, on = (part[k] for k in ("memorising", "apart", "lowered", "corrected"))
            checks += [
                Check(f"{name}: {n} of 4 classes are memorised", n >= MEMORISED, "memorises"),
                Check(f"{name}: starts are {apart} epochs apart", apart >= APART, "class-wise"),
                Check(
                    f"{name}: of {on} corrected classes {lowered} have worse labels", on > 0 and not lowered, "labels"
                ),
            ]
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        seeds = list(seeds_in(measured))
        starts = "; ".join(
            f"{name}: " + ", ".join(f"{kind} {part['starts'][kind]}" for kind in NAMES) for name, part in seeds
        )
        few = [name for name, part in seeds if part["memorising"] < MEMORISED]
        lacking = f" The precondition is not met in {', '.join(few)}: no claim can be shown there." if few else ""
        unlearned = [
            f"{arm} {sum(part['arms'][arm]['iou'][kind] < UNLEARNED for _, part in seeds for kind in NAMES)}"
            for arm in seeds[0][1]["arms"]
        ]
        return (
            f"Start of correction of each class in ADELE's training, by the number of its epoch: {starts}.{lacking} "
            f"Of {len(seeds) * len(NAMES)} classes over seeds, trainings leave unlearned (IoU below {UNLEARNED} on "
            f"test scenes): {', '.join(unlearned)}."
        )


def two_errors(values: Sequence[float]) -> dict[str, Any]:
    """The mean over seeds with two standard errors on either side; one seed has none.

    >>> two_errors([1.0, 2.0, 3.0])["low"].__round__(3)
    0.845
    """
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return {"value": mean, "low": None, "high": None, "n": n, "interval": "none over seeds"}
    half = 2 * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n, "interval": "2 standard errors over seeds"}

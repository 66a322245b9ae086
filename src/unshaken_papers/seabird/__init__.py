"""`seabird`: the gradient of the dice loss is quieter for longer objects; does that help maps of long objects?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide

DICE, BCE, DEPTH = "dice", "bce", "depth"
ARMS = (DICE, BCE, DEPTH)
"""Maps by dice and by cross-entropy, and depth by smooth L1."""
LENGTHS = (4.0, 12.0)
"""A car and a trailer, in metres."""
SIGMAS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)
"""Deviations of the noise in depth, in metres."""
NEAR, EXACT = 0.01, 1e-9
"""Largest departure of the crossing point from 1 / l, and of integrals from formulas, as shares."""


@register("seabird", reference="Kumar et al. 2024, arXiv:2403.20318")
class SeaBirdPaper(Paper):
    """Is the dice loss less disturbed by noise in depth, and the more so the longer an object is?

    The theorem by integrals and by SGD on a linear head; and small U-Nets that learn synthetic maps whose labels are
    off in depth: by dice, by cross-entropy, and as a regression of depth with the size known.
    """

    title: ClassVar[str] = (
        "SeaBird: Segmentation in Bird's View with Dice Loss Improves Monocular 3D Detection of Large Objects"
    )
    claim: ClassVar[str] = (
        "Under noise in depth the gradient of regression losses is as loud for long objects as for short ones, while "
        "that of the dice loss of a bird's-eye-view map falls with the length; maps learned by dice help large objects."
    )
    summary: ClassVar[str] = "Noise in depth disturbs the dice loss less, the longer the object."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "variance": ClaimPart(
            statement="At one step size the gradient of dice has less variance than that of L1, and than that of L2 "
            "where the noise exceeds about 1 / l.",
            rule=f"Shown if for lengths of 4 and 12 and each of {len(SIGMAS)} deviations the integral agrees with the "
            f"formula to {EXACT:g}, dice is below L1 at all, and it crosses L2 within {NEAR:.0%} of 1 / l; "
            "contradicted if dice is above L1 at one.",
        ),
        "sgd": ClaimPart(
            statement="SGD from the true head is moved less by dice, by as much as the variance says.",
            rule="Shown if, over the runs, the mean squared error of L1 less that of dice is above 0 for both lengths "
            "by two standard errors on each side; contradicted if it is below by as much.",
        ),
        "slope": ClaimPart(
            statement="Maps learned by dice gain on regression of depth with the length of objects.",
            rule="Shown if the slope of the difference in IoU (dice less regression, learning rates chosen for each on "
            "other scenes) on length is above 0 by its interval over seeds; contradicted if it is below.",
        ),
        "long": ClaimPart(
            statement="For the longest objects the map learned by dice is better than the regression.",
            rule="Shown if the difference in IoU over objects of 20 cells and more is above 0 by its interval over "
            "seeds; contradicted if it is below.",
            central=False,
        ),
        "dice-over-bce": ClaimPart(
            statement="Dice is a better loss of maps than cross-entropy.",
            rule="Shown if the difference in IoU over all objects, dice less cross-entropy, is above 0 by its interval "
            "over seeds; contradicted if it is below.",
            central=False,
        ),
        "two-stage": ClaimPart(
            statement="A box head that sees the map finds large objects better.",
            untried="the net of the two stages is here and trained by the loop; its arm is not run at this scale.",
            central=False,
        ),
        "published-data": ClaimPart(
            statement="On KITTI-360 and nuScenes it raises AP of large objects.",
            untried="neither data set is here, nor the backbones, which take days; readers of their boxes are.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "KITTI-360 val, AP at IoU 0.5 of large objects: 13.22 with SeaBird, 0.54 GUP Net; nuScenes val, "
        "HoP V2-99: AP of large objects from 36.5 to 40.3"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "slope": ("Gain of dice over regression for each cell of length", "IoU"),
        "long": ("Dice minus regression, objects of 20 cells and more", "IoU"),
        "dice_over_bce": ("Dice minus cross-entropy, all objects", "IoU"),
        "iou.dice": ("Map by dice, all objects", "IoU"),
        "iou.bce": ("Map by cross-entropy, all objects", "IoU"),
        "iou.depth": ("Regression of depth with the size known, all objects", "IoU"),
        "crossing.4": ("Noise at which dice and L2 are even, length 4", "m"),
        "crossing.12": ("Noise at which dice and L2 are even, length 12", "m"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Synthetic maps of 64 x 32 cells with up to three objects, blurred along depth under a faint photo, in the "
        "place of images of a camera; objects do not share columns and are not turned.",
        "The regression gives one depth a column, by a softmax over rows, and knows each object's size and columns, "
        "which the maps do not.",
        "U-Nets of 30,000 parameters; the learning rate of each loss is chosen on other scenes with true labels. Where "
        "the remarks name the largest on offer, a higher one may be better, and the gains may differ there.",
        "The theorem compares losses at one step size. With learning rates tuned from a cold start the linear model "
        "gives dice no advantage over L1, since for small noise it is L1 divided by the length.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "unet"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "variances": {
            "loss": "string",
            "length": "double",
            "sigma": "double",
            "variance": "double",
            "formula": "double",
        },
        "crossings": {"length": "double", "sigma": "double"},
        "sgd": {"loss": "string", "length": "double", "predicted": "double", "measured": "double", "error": "double"},
        "objects": {"scene": "int64", "length": "double", "iou": "double"},
    }
    chooses: ClassVar[Mapping[str, str]] = {"objects": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 5, "scenes": 1500, "tested": 1000, "choosing": 500, "epochs": 12, "rates": (0.01, 0.03, 0.1, 0.3, 1.0),
    }  # fmt: skip

    seeds: PositiveInt = Field(3, description="repetitions, each with scenes of its own")
    scenes: PositiveInt = Field(500, description="training scenes, whose labels are off in depth")
    tested: PositiveInt = Field(300, description="test scenes, with true maps")
    choosing: PositiveInt = Field(150, description="further scenes, on which learning rates are chosen")
    epochs: PositiveInt = Field(10, description="epochs of training")
    batch_size: PositiveInt = Field(16, description="scenes of a step")
    rates: Annotated[tuple[PositiveFloat, ...], PlusSeparated] = Field(
        (0.01, 0.03, 0.1), description="learning rates of Adam to choose from", min_length=1
    )
    noise: float = Field(2.0, description="deviation of labels in depth at the middle, in cells", ge=0)
    photos: PositiveInt = Field(500, description="images that are laid over scenes")
    runs: PositiveInt = Field(200, description="runs of SGD on the linear head, for each loss")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
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
                decide("sgd", f"length {name}: squared error, L1 minus dice", part["sgd"]),
            ]  # fmt: skip
        words = {
            "slope": ("slope", "IoU for each cell of length, dice minus regression"),
            "long": ("long", "IoU of the longest objects, dice minus regression"),
            "dice-over-bce": ("dice_over_bce", "IoU, dice minus cross-entropy"),
        }
        return checks + [decide(part, text, measured[figure]) for part, (figure, text) in words.items()]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        gaps = "; ".join(f"{name} cells {value['value']:+.3f}" for name, value in measured["gaps"].items())
        rates = ", ".join(f"{arm} {', '.join(map(str, values))}" for arm, values in measured["rates"].items())
        return f"IoU by length, dice minus regression: {gaps}. Learning rates by seed: {rates}."

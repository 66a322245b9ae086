"""`tract`: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.papers._tract_nets import ARMS, CNN, VIT, Arm, Pictures, read_pictures, trained
from unshaken.papers._tract_run import Figures, keep_run
from unshaken.papers.base import Bench, Check, Paper

ADAM = 1e-3


@register("paper-tract", reference="Petersen et al. 2024, arXiv:2410.23970")
class TrActPaper(Paper):
    """Does a first layer with the TrAct gradient learn in fewer epochs?

    A CNN of 38,000 parameters, trained on 10,000 images with and without TrAct: the same weights at the start, the same
    batches, each arm at the learning rate that suits it. With `--model ARCH` another architecture is trained; with
    `vit_epochs` a small ViT besides.
    """

"""Pixels without a gradient because they are black or white: what a `clamp` inside a model hides from attacks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Gradient, Objective

BORDER_GRADIENT = FlagKind(
    "border-gradient",
    "pixels that are black or white have no gradient, so attacks never move them",
    "Do not use the accuracy under gradient attacks. Where the model clips its input, use "
    "unshaken.core.box.boxed in the place of torch.clamp.",
)

FEW = 16
"""Images looked at."""
ENOUGH = 8
"""Pixels with a gradient inside that say something; of fewer, a dead unit may have taken it."""
INSET = 1e-3
"""How far black and white pixels are moved inwards, to see whether they have a gradient there."""


class TopLogit(Objective):
    """The largest logit."""

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`."""
        return required(answer.logits).amax(1)


def check_borders(oracle: Oracle, batch: Batch) -> Iterator[Flag]:
    """Most pixels that are exactly 0 or 1 have no gradient, and have one once moved a little inwards.

    In torch 2.15 `torch.clamp` gives no gradient at its bounds; in 2.13 it did.

    Args:
        oracle: runs the model and counts its passes, in evaluation mode.
        batch: the first samples.
    """
    images = batch.images[:FEW].float()
    border = (images == 0) | (images == 1)
    if not oracle.model.differentiable or not bool(border.any()):
        return
    moved = torch.where(border, images.clamp(INSET, 1 - INSET), images)
    here, inside = (required(oracle.ask(Gradient(x, of=TopLogit())).gradient) for x in (images, moved))
    seen = here[border & (inside != 0)]
    share = float(widen(seen == 0).mean())
    if len(seen) >= ENOUGH and share > 0.5:
        text = (
            f"{100 * share:.0f} % of the pixels that are exactly 0 or 1 have no gradient, and have one {INSET:g} inside"
        )
        yield BORDER_GRADIENT.flag(f"{text}: a clamp in the model hides them from attacks; clip without it")

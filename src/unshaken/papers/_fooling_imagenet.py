"""Ascent on an ImageNet network: figures of their own, outside the rule."""

from __future__ import annotations

import torch

from unshaken.attack.fooling import Ascent
from unshaken.core.errors import MissingExtra
from unshaken.models import load_model
from unshaken.papers._fooling_run import Net, Workshop
from unshaken.papers.base import Bench

SPEC = "imagenet:efficientnet-lite0"
STUDY = {"decay": 0.0, "early": 0.02, "late": 0.1}
"""The published study's setting without regularisers."""


def imagenet_ascent(bench: Bench, classes: int, steps: int) -> str:
    """Put the rows of ascents for evenly spaced classes.

    Args:
        bench: the experiment's.
        classes: how many; 0 for none.
        steps: of each.

    Returns:
        The name of the network in the rows; empty where its packages are absent, or none are wanted.
    """
    if not classes:
        return ""
    try:
        model = load_model(SPEC)
    except MissingExtra:
        return ""
    side = model.view.height if model.view is not None else 224
    chosen = tuple(i * 1000 // classes for i in range(classes))
    workshop = Workshop(bench, chosen, (3, side, side), lambda images: {})
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    workshop.ascended("ascent-plain", Net("imagenet", model), Ascent(steps=steps, **STUDY), mean)
    return "imagenet"

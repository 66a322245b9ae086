"""Textures made more tileable by the gradient of a network's score."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.explain.textures.tileability import tile_score

CONTENT = 10.0


def optimise(
    model: Classifier, textures: Tensor, *, steps: int = 40, rate: float = 0.01, content: float = CONTENT
) -> Tensor:
    """Descend `(1 - T(x)) + content * mean((x - x0)^2)` by Adam on the pixels.

    Args:
        model: see `tile_logits`.
        textures: x0, `[N, C, H, W]` in [0, 1].
        steps: of Adam.
        rate: Adam's step.
        content: weight of the change; with 0 a texture drifts towards blandness, which tiles.

    Returns:
        The same shape, in [0, 1].
    """
    points = textures.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([points], lr=rate)
    for _ in range(steps):
        loss = (1 - tile_score(model, points)).sum()
        loss = loss + content * (points - textures).square().mean((1, 2, 3)).sum()
        (points.grad,) = torch.autograd.grad(loss, points)
        optimizer.step()
        with torch.no_grad():
            points.clamp_(0, 1)
    return points.detach()

"""`AutoEncoder`: a small convolutional auto-encoder of photos, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.descent import descend
from unshaken.core.rng import SampleRng, seeded

PATCH, BATCH, LR = 64, 16, 2e-3
"""Side of the pieces that the auto-encoder learns from, pieces a step, learning rate."""


class AutoEncoder(nn.Module):
    """Halvings of the sides to a code, and as many doublings back; by default 24 numbers of a picture become one.

    Args:
        seed: of the weights.
        channels: of the images.
        widths: channels after each halving but the last.
        code: channels of the code, after the last one.
    """

    def __init__(self, seed: int, *, channels: int = 3, widths: Sequence[int] = (24, 48), code: int = 8) -> None:
        super().__init__()
        sizes = (channels, *widths, code)
        with seeded(seed):
            down = [nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)]
            up = [nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(sizes[::-1])]
        self.net = nn.Sequential(*_between(down), *_between(up))
        self.halvings, self.code = len(down), code

    def encode(self, images: Tensor) -> Tensor:
        """Codes `[N, code, h, w]` of pictures `[N, C, H, W]` in [0, 1]; H and W are multiples of 2^halvings."""
        code: Tensor = self.net[: 2 * self.halvings - 1](images - 0.5)
        return code

    def decode(self, codes: Tensor) -> Tensor:
        """The pictures of codes, not clipped."""
        made: Tensor = self.net[2 * self.halvings - 1 :](codes) + 0.5
        return made

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))


def fit_auto_encoder(photos: Tensor, steps: int, seed: int, model: AutoEncoder | None = None) -> AutoEncoder:
    """Train an auto-encoder to make random pieces of photos again, by the squared error.

    Args:
        photos: float32 `[N, C, H, W]` in [0, 1].
        steps: of training.
        seed: of order and pieces, and of the weights where no model is given.
        model: untrained; None for the usual one.
    """
    model = AutoEncoder(seed) if model is None else model
    room = torch.tensor([max(1, side - PATCH + 1) for side in photos.shape[2:]])

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        corners = (rng.uniform(2) * room).long().tolist()
        pieces = torch.stack(
            [photos[i, :, y : y + PATCH, x : x + PATCH] for i, (y, x) in zip(rows.tolist(), corners, strict=True)]
        )
        error: Tensor = model(pieces) - pieces
        return error.square().mean()

    adam = torch.optim.Adam(model.parameters(), lr=LR)
    descend(adam, loss, len(photos), steps=steps, batch_size=BATCH, seed=seed, name="auto-encoder")
    return model.eval().requires_grad_(False)


def _between(layers: Sequence[nn.Module]) -> list[nn.Module]:
    """Layers with an activation between each two."""
    return [module for layer in layers for module in (nn.SiLU(), layer)][1:]

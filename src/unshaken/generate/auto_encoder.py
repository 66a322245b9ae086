"""`AutoEncoder`: a small convolutional auto-encoder of photos, and its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshaken.core.descent import descend
from unshaken.core.rng import SampleRng

PATCH, BATCH, LR = 64, 16, 2e-3
"""Side of the pieces that the auto-encoder learns from, pieces a step, learning rate."""


class AutoEncoder(nn.Module):
    """Three halvings to a code of 8 channels (24 numbers of a picture become one), and three doublings back.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            down = [nn.Conv2d(a, b, 4, 2, 1) for a, b in ((3, 24), (24, 48), (48, 8))]
            up = [nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in ((8, 48), (48, 24), (24, 3))]
        self.net = nn.Sequential(
            down[0], nn.SiLU(), down[1], nn.SiLU(), down[2], up[0], nn.SiLU(), up[1], nn.SiLU(), up[2]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Pictures `[N, 3, H, W]` in [0, 1] made again, not clipped; H and W are multiples of 8."""
        made: Tensor = self.net(images - 0.5) + 0.5
        return made


def fit_auto_encoder(photos: Tensor, steps: int, seed: int) -> AutoEncoder:
    """Train an auto-encoder to make random pieces of photos again, by the squared error.

    Args:
        photos: float32 `[N, 3, H, W]` in [0, 1].
        steps: of training.
        seed: of weights, order and pieces.
    """
    model = AutoEncoder(seed)
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

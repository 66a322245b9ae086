"""Two small networks that make pictures: an auto-encoder of photos, and a diffusion model of small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.descent import descend
from unshaken.core.rng import SampleRng
from unshaken.generate.edm import EDM
from unshaken.generate.fit import Fitting, fit
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.papers._training import cached_weights

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


def auto_encoder(photos: Tensor, steps: int, seed: int, key: Mapping[str, Any]) -> tuple[AutoEncoder, bool]:
    """A trained auto-encoder, and whether it came from the cache.

    Args:
        photos: float32 `[N, 3, H, W]` in [0, 1]; a random piece of each is shown.
        steps: of training.
        seed: of weights, order and pieces.
        key: what decides the photos.
    """
    model = AutoEncoder(seed)
    room = [max(1, side - PATCH + 1) for side in photos.shape[2:]]

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        corners = (rng.uniform(2) * torch.tensor(room)).long().tolist()
        pieces = torch.stack(
            [photos[i, :, y : y + PATCH, x : x + PATCH] for i, (y, x) in zip(rows.tolist(), corners, strict=True)]
        )
        error: Tensor = model(pieces) - pieces
        return error.square().mean()

    def make() -> dict[str, Tensor]:
        descend(
            torch.optim.Adam(model.parameters(), lr=LR),
            loss,
            len(photos),
            steps=steps,
            batch_size=BATCH,
            seed=seed,
            name="auto-encoder",
        )
        return model.state_dict()

    weights, found = cached_weights({"rigid": "auto-encoder", "steps": steps, "seed": seed, **key}, make)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False), found


def generator(images: Tensor, steps: int, seed: int, key: Mapping[str, Any]) -> tuple[EDM, bool]:
    """A trained diffusion model of small images, and whether it came from the cache.

    Args:
        images: uint8 `[N, 3, H, W]`, H and W multiples of 4.
        steps: of training, 32 images each.
        seed: of weights, order and noise.
        key: what decides the images.
    """
    _, channels, height, width = images.shape
    settings, fitting = UNetSettings(image=(channels, height, width)), Fitting(steps=steps, lr=3e-3, seed=seed)
    model = EDM(UNet(settings, seed=seed))

    def make() -> dict[str, Tensor]:
        return fit(model, images, None, fitting).model.state_dict()

    weights, found = cached_weights({"rigid": "edm", **settings.model_dump(), **fitting.model_dump(), **key}, make)
    model.load_state_dict(weights)
    return model.eval(), found

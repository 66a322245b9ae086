"""The network of the experiment with RIGID: an auto-encoder of photos."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshaken.core.descent import descend
from unshaken.core.rng import SampleRng
from unshaken.papers.frame.cache import digest_tensors
from unshaken.papers.frame.context import Context

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


def auto_encoder(context: Context, photos: Tensor, steps: int) -> AutoEncoder:
    """A trained auto-encoder; it descends one loss for some steps, which no recipe for classifiers does.

    Args:
        context: of the experiment.
        photos: float32 `[N, 3, H, W]` in [0, 1]; a random piece of each is shown.
        steps: of training.
    """
    seed, model = context.seed, AutoEncoder(context.seed)
    room = torch.tensor([max(1, side - PATCH + 1) for side in photos.shape[2:]])

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        corners = (rng.uniform(2) * room).long().tolist()
        pieces = torch.stack(
            [photos[i, :, y : y + PATCH, x : x + PATCH] for i, (y, x) in zip(rows.tolist(), corners, strict=True)]
        )
        error: Tensor = model(pieces) - pieces
        return error.square().mean()

    def make() -> dict[str, Tensor]:
        adam = torch.optim.Adam(model.parameters(), lr=LR)
        descend(adam, loss, len(photos), steps=steps, batch_size=BATCH, seed=seed, name="auto-encoder")
        return model.state_dict()

    key = {"photos": digest_tensors({"": photos}), "steps": steps, "seed": seed}
    model.load_state_dict(context.weights("auto-encoder", key, make, [auto_encoder]))
    return model.eval().requires_grad_(False)

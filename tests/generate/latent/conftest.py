"""A linear generator whose answers are known by hand, and a tiny VAE."""

from __future__ import annotations

import pytest
import torch

from unshaken.generate.latent.adapters import LinearGenerator
from unshaken.generate.latent.vae import VAESettings


class NoEncoder(LinearGenerator):
    """A linear generator whose codes must be found by descent."""

    def encode(self, images):
        return None


@pytest.fixture
def by_hand():
    """`G(w) = W w` with `W = [[3, 0], [0, 2], [0, 0]]`, images of three pixels; without an encoder."""
    return NoEncoder(torch.tensor([[3.0, 0], [0, 2], [0, 0]]), torch.zeros(3), (1, 1, 3))


@pytest.fixture
def vae():
    """Untrained; images 1 x 8 x 8, codes of 3 numbers."""
    return VAESettings(latents=3, width=4).build((1, 8, 8), 0).eval().requires_grad_(False)

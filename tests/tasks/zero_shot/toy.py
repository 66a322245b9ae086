"""Tinted pictures, and dual encoders that know a few words of colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unshaken.models.zero_shot import DualEncoder, ImageTower

COLOURS = ("red", "green", "blue")


class Means(nn.Module):
    """Embeds a picture as the means of its channels, turned a little."""

    def __init__(self, turn: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = torch.eye(3) + turn * torch.ones(3, 3) + noise * torch.randn(3, 3, generator=g)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


def encode(texts: Sequence[str]) -> Tensor:
    """A colour's axis for each text that names one, and a little of the text's length."""
    found = torch.stack([torch.tensor([float(c in text) for c in COLOURS]) for text in texts])
    return found + 0.01 * torch.tensor([[float(len(t) % 5), 1.0, 0.0] for t in texts])


def colour_encoder(turn: float = 0.0, noise: float = 0.0, scale: float = 10.0) -> DualEncoder:
    return DualEncoder(ImageTower(Means(turn, noise), scale), encode, name="colours")


def tinted(n: int = 30, side: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise in three tints, uint8 `[n, 3, side, side]`, and its labels; the tint of some is faint."""
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (n, 3, side, side), generator=g)
    labels = torch.arange(n) % 3
    strength = torch.randint(2, 100, (n,), generator=g)
    images[torch.arange(n), labels] += strength[:, None, None]
    return images.clamp(max=255).to(torch.uint8), labels

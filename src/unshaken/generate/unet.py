"""A small U-Net that knows how noisy its input is, and what class it is to be, where it has classes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.registry import Parameters
from unshaken.core.rng import seeded
from unshaken.generate.generator import NoiseNet

PERIOD = 10_000.0
"""Longest period of the embedding, over the shortest."""


class UNetSettings(Parameters):
    """Sizes of a U-Net; 557 thousand parameters by default."""

    image: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(1, 28, 28), description="channels, height, width"
    )
    width: PositiveInt = Field(default=32, description="channels of the first level")
    levels: tuple[PositiveInt, ...] = Field(
        default=(1, 2),
        description="channels of each level as a multiple of width; each level halves the side",
        min_length=1,
    )
    blocks: PositiveInt = Field(default=1, description="residual blocks of a level, on the way down and on the way up")
    patch: PositiveInt = Field(
        default=2, description="side of the squares of pixels that are one place of the first level"
    )
    attention: bool = Field(default=True, description="self-attention at the lowest level")
    classes: NonNegativeInt = Field(default=0, description="number of classes K to be told; 0 for none")

    @model_validator(mode="after")
    def _halves(self) -> UNetSettings:
        whole = self.patch * 2 ** (len(self.levels) - 1)
        if self.image[1] % whole or self.image[2] % whole:
            raise ValueError(
                f"height and width must be multiples of {whole} (patch {self.patch}, {len(self.levels)} levels)"
            )
        return self


class UNet(NoiseNet):
    """Residual blocks down to a coarse grid and up again, each with an embedding of the noise.

    Args:
        settings: what it is built from.
        seed: of the weights.

    Source:
        Ho et al. 2020, arXiv:2006.11239, appendix B, with scale and shift by the embedding as Nichol & Dhariwal 2021,
        arXiv:2102.09672.
    """

    def __init__(self, settings: UNetSettings, *, seed: int = 0) -> None:
        super().__init__(settings.image, settings.classes)
        self.settings = settings
        with seeded(seed):
            self._build(settings)

    def _build(self, settings: UNetSettings) -> None:
        widths = [settings.width * m for m in settings.levels]
        embedded, pixels = 4 * settings.width, settings.image[0] * settings.patch**2
        self.embed = nn.Sequential(nn.Linear(2 * settings.width, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
        self.kinds = nn.Embedding(settings.classes + 1, embedded) if settings.classes else None
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1)
        down, shrink, now, skips = [], [], widths[0], []
        for level, width in enumerate(widths):
            down.append(nn.ModuleList())
            for _ in range(settings.blocks):
                down[-1].append(Block(now, width, embedded))
                now = width
                skips.append(now)
            if level + 1 < len(widths):
                shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
        self.down, self.shrink = nn.ModuleList(down), nn.ModuleList(shrink)
        self.middle = nn.ModuleList([Block(now, now, embedded), Block(now, now, embedded)])
        self.attention = Attention(now) if settings.attention else None
        up, grow = [], []
        for level, width in reversed(list(enumerate(widths))):
            up.append(nn.ModuleList())
            for _ in range(settings.blocks):
                up[-1].append(Block(now + skips.pop(), width, embedded))
                now = width
            if level:
                grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.up, self.grow = nn.ModuleList(up), nn.ModuleList(grow)
        self.head = nn.Sequential(norm(now), nn.SiLU(), zeroed(nn.Conv2d(now, pixels, 3, padding=1)))

    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        weight, given = self.stem.weight, x.dtype
        x = x.to(weight.dtype)
        embedded = self.embed(sinusoids(position, 2 * self.settings.width).to(weight.dtype))
        if self.kinds is not None:
            none = torch.full((len(x),), self.classes, device=x.device)
            embedded = embedded + self.kinds(none if labels is None else labels)
        h, skips = self.stem(F.pixel_unshuffle(x, self.settings.patch)), []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedded)
                skips.append(h)
            h = self.shrink[level](h) if level < len(self.shrink) else h
        h = self.middle[0](h, embedded)
        h = h if self.attention is None else self.attention(h)
        h = self.middle[1](h, embedded)
        for level, blocks in enumerate(self.up):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(torch.cat([h, skips.pop()], 1), embedded)
            h = self.grow[level](F.interpolate(h, scale_factor=2)) if level < len(self.grow) else h
        return F.pixel_shuffle(self.head(h), self.settings.patch).to(given)


class Block(nn.Module):
    """Two convolutions beside a straight way; the embedding scales and shifts between them.

    Args:
        width_in: channels that come in.
        width: channels that go out.
        embedded: size of the embedding.
    """

    def __init__(self, width_in: int, width: int, embedded: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(width_in), nn.SiLU(), nn.Conv2d(width_in, width, 3, padding=1))
        self.told = nn.Sequential(nn.SiLU(), nn.Linear(embedded, 2 * width))
        self.norm = norm(width)
        self.second = nn.Sequential(nn.SiLU(), zeroed(nn.Conv2d(width, width, 3, padding=1)))
        self.straight = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    @override
    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        scale, shift = self.told(embedded)[:, :, None, None].chunk(2, 1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        out: Tensor = self.straight(x) + self.second(h)
        return out


class Attention(nn.Module):
    """Self-attention over all places, one head, added to its input.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.out = zeroed(nn.Conv2d(width, width, 1))

    @override
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, 2)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.out(attended)
        return out


def sinusoids(position: Tensor, width: int) -> Tensor:
    """Sines and cosines of a position with periods from `2 pi` up, in geometric steps.

    Args:
        position: float `[N]`.
        width: numbers a position, even.

    Returns:
        `[N, width]`: the cosines, then the sines.

    >>> sinusoids(torch.tensor([0.0]), 4).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    half = width // 2
    rates = torch.exp(-math.log(PERIOD) * torch.arange(half, device=position.device) / half)
    angles = position.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def norm(width: int) -> nn.GroupNorm:
    """Group norm with eight groups where the channels divide so, else as many as divide both."""
    return nn.GroupNorm(math.gcd(8, width), width)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives nought until it has learned."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

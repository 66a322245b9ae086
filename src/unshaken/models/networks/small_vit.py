"""A small vision transformer, quick enough to train and attack on a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small


class SelfAttention(nn.Module):
    """Attention of every token to every token, `softmax(q k' / sqrt(d)) v` in each head.

    Args:
        width: numbers a token.
        num_heads: heads; d is `width / num_heads`.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        n, t, width = tokens.shape
        q, k, v = self.qkv(tokens).view(n, t, 3, self.num_heads, width // self.num_heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        found: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, t, width))
        return found


class Block(nn.Module):
    """Attention and a two-layer perceptron, each on normalised tokens and added to them.

    Args:
        width: numbers a token.
        num_heads: heads of the attention.
        ratio: hidden units of the perceptron over `width`.
    """

    def __init__(self, width: int, num_heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        found: Tensor = tokens + self.mlp(self.norm2(tokens))
        return found


class SmallViT(Small):
    """A vision transformer for small images, 142,026 parameters at `[3, 32, 32]`.

    A class token and one token a patch, four blocks of four heads at width 64, hidden layers of twice the width.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels, a multiple of `patch`.
    """

    telling: ClassVar[tuple[str, ...]] = ("head.weight", "embed.weight", "position")
    patch: ClassVar[int] = 4
    width: ClassVar[int] = 64
    depth: ClassVar[int] = 4
    num_heads: ClassVar[int] = 4

    def __init__(self, classes: int = 10, channels: int = 3, side: int = 32) -> None:
        super().__init__(classes, channels, side)
        tokens = (side // self.patch) ** 2
        self.embed = nn.Conv2d(channels, self.width, self.patch, self.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens + 1, self.width), std=0.02))
        self.blocks = nn.Sequential(*(Block(self.width, self.num_heads, 2) for _ in range(self.depth)))
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], 1) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(tokens)[:, 0]))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        grid = round((weights["position"].shape[1] - 1) ** 0.5)
        return weights["head.weight"].shape[0], weights["embed.weight"].shape[1], cls.patch * grid


class ViT9(SmallViT):
    """A vision transformer of nine blocks for small photos: three heads at width 192, 2,697,610 parameters.

    Built as `SmallViT`, deeper and wider.
    """

    width = 192
    depth = 9
    num_heads = 3

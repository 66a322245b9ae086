"""`TileNet`: tells textures that tile from those that do not, with linear attention over all places."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small, conv_bn


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention whose cost is linear in the number of places (Shen et al. 2021, arXiv:1812.01243).

    Queries are softmax over their d channels, times `d^-1/2`; keys over the N places; `context = k v^T`.

    Args:
        q: `[..., d, N]`.
        k: `[..., d, N]`.
        v: `[..., e, N]`.

    Returns:
        `[..., e, N]`.
    """
    q, k = q.softmax(-2) * q.shape[-2] ** -0.5, k.softmax(-1)
    return (k @ v.mT).mT @ q


class LinearAttention(nn.Module):
    """A residual block: `x + gamma norm(project(attention(x)))`, gamma starting at 0.01.

    Args:
        channels: of its input.
        heads: each of `width` channels.
        width: of a head.
    """

    def __init__(self, channels: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * heads * width, 1, bias=False)
        self.project = nn.Conv2d(heads * width, channels, 1)
        self.norm = nn.GroupNorm(1, channels, eps=1e-5)
        self.gamma = nn.Parameter(torch.tensor(0.01))

    @override
    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        q, k, v = self.qkv(x).view(n, 3, self.heads, -1, height * width).unbind(1)
        joined = linear_attention(q, k, v).reshape(n, -1, height, width)
        found: Tensor = x + self.gamma * self.norm(self.project(joined))
        return found


class TileNet(Small):
    """Four convolutions, linear attention, the mean and the largest value over places, and a linear layer.

    It sees the texture moved by half its size, which is the middle of two by two copies: the seams cross in its
    centre. A further channel marks the cross. Classes are 0, does not tile, and 1, tiles.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: taken as the other small networks take it; any size will do.
        tiled: False for a control that sees the texture as it is, its border marked.
        attention: False for a control without the attention.
    """

    def __init__(
        self, classes: int = 2, channels: int = 1, side: int = 64, *, tiled: bool = True, attention: bool = True
    ) -> None:
        super().__init__(classes, channels, side)
        self.tiled = tiled
        self.body = nn.Sequential(conv_bn(channels + 1, 16), conv_bn(16, 32, 2), conv_bn(32, 48, 2), conv_bn(48, 64, 2))
        self.attention = LinearAttention(64, 4, 16) if attention else nn.Identity()
        self.head = nn.Linear(128, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        mark = images.new_zeros(1, 1, height, width)
        mark[:, :, :1] = mark[:, :, -1:] = mark[..., :1] = mark[..., -1:] = 1
        shown = torch.cat([images, mark.expand(len(images), -1, -1, -1)], 1)
        if self.tiled:
            shown = shown.roll((height // 2, width // 2), (2, 3))
        found = self.attention(self.body(shown))
        logits: Tensor = self.head(torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["body.0.0.weight"].shape[1] - 1, None

"""A vision transformer that rebuilds what it is not shown: the encoder's parts, and a decoder beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.models.networks.small_vit import Block, SmallViT

HEADS = 4


class Parts:
    """The parts of a vision transformer that are needed to show it some of its patches only.

    Args:
        net: this package's small one, or one of timm's with a plain forward.

    Raises:
        ModelError: it is neither.
    """

    def __init__(self, net: Any) -> None:
        self.net, self.small = net, isinstance(net, SmallViT)
        timm = all(hasattr(net, name) for name in ("patch_embed", "_pos_embed", "norm_pre", "blocks", "norm"))
        if not (self.small or timm) or (timm and not hasattr(net.patch_embed, "grid_size")):
            raise ModelError(
                f"mae: {type(net).__name__} is no vision transformer that it knows: take small-vit or one of timm's "
                "such as timm:vit_tiny_patch16_224"
            )
        self.prefix = 1 if self.small else int(net.num_prefix_tokens)
        self.width = int(net.width if self.small else net.embed_dim)
        self.patch = (net.patch, net.patch) if self.small else tuple(int(p) for p in net.patch_embed.patch_size)
        if self.small:
            side = round((net.position.shape[1] - 1) ** 0.5)
            self.grid = (side, side)
        else:
            self.grid = (int(net.patch_embed.grid_size[0]), int(net.patch_embed.grid_size[1]))

    def tokens(self, images: Tensor) -> Tensor:
        """All tokens with their positions, `[N, T, D]`, those ahead of the patches first."""
        net = self.net
        if not self.small:
            found: Tensor = net.norm_pre(net._pos_embed(net.patch_embed(images)))
            return found
        patches = net.embed(images).flatten(2).transpose(1, 2)
        small: Tensor = torch.cat([net.class_token.expand(len(images), -1, -1), patches], 1) + net.position
        return small

    def encode(self, tokens: Tensor) -> Tensor:
        """Through the blocks and the last norm."""
        found: Tensor = self.net.norm(self.net.blocks(tokens))
        return found


class Decoder(nn.Module):
    """From encoded visible patches to a prediction for every patch.

    Args:
        width: numbers an encoded token.
        tokens: patches of an image.
        out: numbers predicted a patch.
        inner: numbers a token here.
        depth: blocks.
    """

    def __init__(self, width: int, tokens: int, out: int, *, inner: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width, inner)
        self.hidden = nn.Parameter(nn.init.normal_(torch.empty(1, 1, inner), std=0.02))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, inner), std=0.02))
        self.blocks = nn.Sequential(*(Block(inner, HEADS, 2) for _ in range(depth)))
        self.norm = nn.LayerNorm(inner)
        self.head = nn.Linear(inner, out)

    @override
    def forward(self, encoded: Tensor, ahead: int, shown: Tensor) -> Tensor:
        """Predict every patch, `[N, P, out]`.

        Args:
            encoded: `[N, ahead + V, D]`.
            ahead: tokens before those of the patches.
            shown: int64 `[N, V]`, the visible patches.
        """
        tokens = self.embed(encoded)
        patches = self.hidden.expand(len(tokens), self.position.shape[1], -1).to(tokens.dtype)
        place = shown[..., None].expand(-1, -1, tokens.shape[-1])
        patches = patches.scatter(1, place, tokens[:, ahead:]) + self.position
        found = self.norm(self.blocks(torch.cat([tokens[:, :ahead], patches], 1)))[:, ahead:]
        predicted: Tensor = self.head(found)
        return predicted


class MaskedAutoencoder(nn.Module):
    """A classifier's net with a decoder beside it.

    Called under `showing` it gives the decoder's predictions, flat, in the place of logits; else the net's logits.

    Args:
        encoder: the net.
        decoder: of as many patches.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.shown: Tensor | None = None
        self.unused: list[str] = []
        self.teacher: list[Classifier] = []  # in a list, so that its weights are not taken for the net's own

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.shown is None:
            logits: Tensor = self.encoder(images)
            return logits
        parts = Parts(self.encoder)
        tokens = parts.tokens(images)
        place = (self.shown + parts.prefix)[..., None].expand(-1, -1, tokens.shape[-1])
        visible_tokens = torch.cat([tokens[:, : parts.prefix], tokens.gather(1, place)], 1)
        predicted: Tensor = self.decoder(parts.encode(visible_tokens), parts.prefix, self.shown)
        return predicted.flatten(1)

    @contextmanager
    def showing(self, shown: Tensor) -> Iterator[None]:
        """Calls inside see these patches only, int64 `[N, V]`."""
        self.shown = shown
        try:
            yield
        finally:
            self.shown = None


def visible(draws: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Draw the patches that are shown, and those to be rebuilt.

    Args:
        draws: uniform `[N, P]`; the smallest of each row are shown.
        share: that is hidden, in (0, 1); at least one patch is shown and one hidden.

    Returns:
        int64 `[N, V]`, and bool `[N, P]`.
    """
    count = draws.shape[1]
    count_shown = min(max(1, round(count * (1 - share))), count - 1)
    shown = draws.argsort(1)[:, :count_shown]
    return shown, torch.ones_like(draws, dtype=torch.bool).scatter(1, shown, False)


def patches_of(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """The pixels of each patch, each patch brought to mean 0 and deviation 1: `[N, P, C h w]`."""
    height, width = (size // cells for size, cells in zip(images.shape[2:], grid, strict=True))
    flat = F.unfold(images, (height, width), stride=(height, width)).transpose(1, 2)
    return normalised(flat)


def cells_of(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A feature map's mean in each patch, each patch brought to mean 0 and deviation 1: `[N, P, F]`."""
    return normalised(F.adaptive_avg_pool2d(features, grid).flatten(2).transpose(1, 2))


def normalised(vectors: Tensor) -> Tensor:
    """Each vector to mean 0 and deviation 1."""
    spread = vectors.var(-1, keepdim=True, unbiased=False)
    return (vectors - vectors.mean(-1, keepdim=True)) / (spread + 1e-6).sqrt()

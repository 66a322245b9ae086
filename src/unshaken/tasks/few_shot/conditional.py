"""`ConditionalHead`: an example and a query shape each other's representation before they are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.explain.engine.layers import layer_shapes

TEMPERATURE = 1e4


def position_code(maps: Tensor) -> Tensor:
    """`[C, h, w]`, to be added to maps: sines and cosines of row and column, each within [-1, 1].

    Positions count from 1 and are scaled so that the last one is 2 pi; frequencies fall from 1 to 1 / 10,000. The first
    half of the channels is for rows; within a half, sine and cosine alternate.

    Args:
        maps: `[B, C, h, w]`, C a multiple of 4; only its shape, type and device count.

    Source: Carion et al. 2020, arXiv:2005.12872.
    """
    channels, height, width = maps.shape[1:]
    half = channels // 2
    order = torch.arange(half, device=maps.device)
    frequency = TEMPERATURE ** (-2 * torch.div(order, 2, rounding_mode="floor") / half)
    codes = []
    for count in (height, width):
        place = torch.arange(1, count + 1, device=maps.device) / (count + 1e-6) * 2 * math.pi
        angle = frequency[:, None] * place
        codes.append(torch.where(order[:, None] % 2 == 0, angle.sin(), angle.cos()))
    rows = codes[0][:, :, None].expand(half, height, width)
    columns = codes[1][:, None].expand(half, height, width)
    return torch.cat([rows, columns]).to(maps)


HEADS = 8


@dataclass(frozen=True, slots=True)
class Representation:
    """The representations of an example and a query that the head gives.

    Args:
        support: of the example, `[B, C]`.
        query: of the query, `[B, C]`.
        support_map: relevance of the example's places to the query, `[B, h, w]`; zeros without conditioning.
        query_map: of the query's places to the example, `[B, h, w]`.
    """

    support: Tensor
    query: Tensor
    support_map: Tensor
    query_map: Tensor

    @property
    def scores(self) -> Tensor:
        """The cosine of the two, `[B]`, in [-1, 1]."""
        return F.cosine_similarity(self.query, self.support, dim=1, eps=1e-6)


class CrossAttention(nn.Module):
    """Each image attends to both images; the residual is the projected query with its position code.

    Args:
        channels: C, a multiple of 8 and of 4.
        hidden: units of the feed-forward layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.support, self.query = (
            nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(3)) for _ in range(2)
        )  # query, key and value of each stream
        self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(channels)
        self.feed, self.last = feed_forward(channels, hidden, dropout=0.1), nn.LayerNorm(channels)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)

    @override
    def forward(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([support, query], 2)
        return self._stream(self.support, support, both), self._stream(self.query, query, both)

    def _stream(self, convolutions: nn.ModuleList, own: Tensor, both: Tensor) -> Tensor:
        asked, keys, values = (layer(maps) for layer, maps in zip(convolutions, (own, both, both), strict=True))
        asked = tokens(asked + position_code(asked))
        attended, _ = self.attention(asked, tokens(keys + position_code(keys)), tokens(values), need_weights=False)
        x = self.norm(asked + attended)
        return maps_of(self.last(x + self.feed(x)), own)


class Correlation(nn.Module):
    """Dot products of all places of two maps, gathered into one relevance map each.

    Args:
        side: h of the maps, which are h x h.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.gather = nn.Sequential(nn.Conv3d(side, 1, (side, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(1), nn.ReLU())

    @override
    def forward(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        pairs = correlation(support, query)
        return self.gather(pairs.permute(0, 3, 4, 1, 2))[:, :, 0], self.gather(pairs)[:, :, 0]


class SelfAttention(nn.Module):
    """Attention within each image; the residual is the projected map with its position code, before the norm.

    Args:
        channels: C.
        hidden: units of the feed-forward layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.support, self.query = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.before, self.after, self.last = (nn.LayerNorm(channels) for _ in range(3))
        self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)
        self.feed = feed_forward(channels, hidden, dropout=0.0)

    @override
    def forward(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.cat([self.support(support), self.query(query)])
        x = tokens(own + position_code(own))
        normal = self.before(x)
        x = self.after(x + self.attention(normal, normal, normal, need_weights=False)[0])
        first, second = maps_of(self.last(x + self.feed(x)), own).chunk(2)
        return first, second


class ConditionalHead(nn.Module):
    """Scores pairs of feature maps of a frozen network: example and query condition each other.

    Cross-attention, relevance by the correlation of all places, a new representation of each place, self-attention;
    then the mean over places, mixed half and half with that of the maps as they came.

    Args:
        channels: C of the maps, a multiple of 8.
        side: h of the maps, which are h x h.
        hidden: units of the feed-forward and the per-place layers.
        conditional: without it the first two steps are left out and relevance is 0: the control.

    Raises:
        ParameterError: channels do not divide by 8.

    Source: Conditional Representation Learning, github.com/guoqianyu-alberta/Conditional-Representation-Learning.
    """

    def __init__(self, channels: int, side: int, *, hidden: int = 2048, conditional: bool = True) -> None:
        super().__init__()
        if channels % HEADS or channels < HEADS:
            raise ParameterError(f"channels must be a multiple of {HEADS}, not {channels}: reduce maps by a projection")
        self.side, self.channels = side, channels
        self.cross = CrossAttention(channels, hidden) if conditional else None
        self.correlation = Correlation(side) if conditional else None
        self.places = nn.Sequential(
            nn.Conv2d(channels + 1, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )  # fmt: skip
        self.self_attention = SelfAttention(channels, hidden)

    @override
    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return self.represent(support, query).scores

    def represent(self, support: Tensor, query: Tensor) -> Representation:
        """Both representations of pairs, and the relevance of their places.

        Raises:
            DataError: maps are not those that the head was made for.
        """
        wanted = (self.channels, self.side, self.side)
        if support.shape != query.shape or tuple(support.shape[1:]) != wanted:
            raise DataError(f"maps must both be [B, {', '.join(map(str, wanted))}], not {tuple(support.shape)} and "
                            f"{tuple(query.shape)}")  # fmt: skip
        if self.cross is None or self.correlation is None:
            relevance = support.new_zeros(2, len(support), 1, self.side, self.side)
            of_support, of_query = relevance[0], relevance[1]
        else:
            of_support, of_query = self.correlation(*self.cross(support, query))
        renewed = [self.places(torch.cat([m, r], 1)) for m, r in ((support, of_support), (query, of_query))]
        ends = self.self_attention(*renewed)
        mixed = [(end.mean((2, 3)) + m.mean((2, 3))) / 2 for end, m in zip(ends, (support, query), strict=True)]
        return Representation(mixed[0], mixed[1], of_support[:, 0], of_query[:, 0])


def correlation(support: Tensor, query: Tensor) -> Tensor:
    """Dot products of the places of two maps `[B, C, h, w]`: `[B, h, w, h, w]`, those of `support` first."""
    return torch.einsum("bcij,bcxy->bijxy", support, query)


def feed_forward(channels: int, hidden: int, *, dropout: float) -> nn.Sequential:
    """Two linear layers with a ReLU between, for tokens."""
    return nn.Sequential(
        nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, channels), nn.Dropout(dropout)
    )


def tokens(maps: Tensor) -> Tensor:
    """Maps `[B, C, h, w]` as `[B, h w, C]`."""
    return maps.flatten(2).transpose(1, 2)


def maps_of(values: Tensor, like: Tensor) -> Tensor:
    """Tokens `[B, h w, C]` as maps again."""
    return values.transpose(1, 2).reshape_as(like)


def last_maps(model: Classifier, images: Tensor) -> str:
    """The last layer that puts out square maps of more than one place.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]` in [0, 1].

    Raises:
        ModelError: there is none.
    """
    shapes = layer_shapes(model, images)
    found = [name for name, s in dict(shapes).items() if len(s) == 4 and s[2] == s[3] > 1]
    if not found:
        raise ModelError(f"model {model.name!r} has no layer of square maps: give a convolutional network")
    return found[-1]

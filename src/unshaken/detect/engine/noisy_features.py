"""`NoisyFeatures`: a classifier that learns under noise on its features, and how much of it turns its answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng

PIECE = 250
"""Images of one pass."""


class NoisyFeatures(nn.Module):
    """Two parts of a network with Gaussian noise between them in training, and none in evaluation.

    What the first part gives is normalised by channel, so that noise cannot be escaped by larger features; the
    publication does without.

    Args:
        first: from images to features `[N, C, H, W]`.
        rest: from features to logits.
        channels: C.
        noise: deviation of the noise, in units of a channel's deviation.
        seed: of the noise.

    Raises:
        ParameterError: the deviation is negative.

    Source:
        Saberi et al. 2024, arXiv:2310.00076, on classifiers of deepfakes.
    """

    def __init__(self, first: nn.Module, rest: nn.Module, *, channels: int, noise: float, seed: int = 0) -> None:
        super().__init__()
        if noise < 0:
            raise ParameterError(f"noise={noise!r}, the deviation on features, must be at least 0")
        self.first, self.rest = first, rest
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.noise, self.seed, self.drawn = noise, seed, 0

    @override
    def forward(self, images: Tensor) -> Tensor:
        x = self.scale(self.first(images))
        if self.training and self.noise:
            generator = torch.Generator().manual_seed(2**20 * self.seed + self.drawn)
            self.drawn += 1
            x = x + self.noise * torch.randn(x.shape, generator=generator).to(x)
        logits: Tensor = self.rest(x)
        return logits


def split_network(net: nn.Module, after: int, *, noise: float, seed: int = 0) -> NoisyFeatures:
    """A small network of this package with noise between its blocks, its weights copied.

    Args:
        net: with the blocks `body`, convolutions with batch norm, and the linear layer `head` on all their values.
        after: blocks before the noise, 1 or more and not all.
        noise: see `NoisyFeatures`.
        seed: see `NoisyFeatures`.

    Raises:
        ParameterError: more blocks are asked for than there are.
    """
    parts: Any = copy.deepcopy(net)
    blocks = list(parts.body)
    if not 1 <= after < len(blocks):
        raise ParameterError(f"after={after} must leave blocks on both sides of the noise: 1 to {len(blocks) - 1}")
    channels = int(blocks[after - 1][0].out_channels)
    rest = nn.Sequential(*blocks[after:], nn.Flatten(), parts.head)
    return NoisyFeatures(nn.Sequential(*blocks[:after]), rest, channels=channels, noise=noise, seed=seed)


@torch.no_grad()
def features_of(model: Classifier, images: Tensor) -> Tensor:
    """Features before the noise, `[N, C, H, W]`.

    Args:
        model: a classifier whose net is a `NoisyFeatures`.
        images: `[N, C, H, W]` in [0, 1].
    """
    _net(model)
    with evaluating(model):
        return torch.cat([model.features(x, ("scale",))[1]["scale"] for x in torch.split(images, PIECE)])


@torch.no_grad()
def flip_shares(
    model: Classifier, features: Tensor, strengths: Sequence[float], rng: SampleRng, draws: int = 10
) -> Tensor:
    """How often noise on the features turns the answer, for each image.

    Args:
        model: a classifier whose net is a `NoisyFeatures`.
        features: `[N, C, H, W]`, as `features_of` gives them.
        strengths: S deviations of the noise; all have the same draws.
        rng: of the images.
        draws: of the noise.

    Returns:
        Shares of the draws, float64 `[S, N]`.
    """
    net = _net(model)
    with evaluating(model):
        pieces = torch.split(features, PIECE)
        answers = torch.cat([net.rest(x).argmax(1) for x in pieces])
        flips = torch.zeros(len(strengths), len(features), dtype=torch.float64)
        for draw in range(draws):
            noise = rng.fold(f"flip-{draw}").normal(*features.shape[1:]).to(features)
            for i, strength in enumerate(strengths):
                moved = torch.split(features + strength * noise, PIECE)
                flips[i] += torch.cat([net.rest(x).argmax(1) for x in moved]) != answers
    return flips / draws


def _net(model: Classifier) -> NoisyFeatures:
    if not isinstance(model.net, NoisyFeatures):
        raise ParameterError(f"model {model.name!r} is no network with noise on its features: make it by split_network")
    return model.net

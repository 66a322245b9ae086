"""Networks with the noise level as an input: levels over a run, input scaling, projector and choice of output."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError
from unshaken.core.rng import seeded
from unshaken.generate.edm import karras_grid
from unshaken.harden.engine.layers import last_layer
from unshaken.harden.recipes.pretraining._masked import Parts
from unshaken.models.networks.timed_cnn import CLEAN, time_embedding

MOST = 80.0
"""The largest noise level."""


def nearest_level(level: float, points: int, *, least: float = CLEAN, most: float = MOST) -> tuple[int, float]:
    """Index and value of the grid's point nearest to a level.

    >>> nearest_level(1.0, 81)[0]
    48
    """
    grid = karras_grid(points, most, least)
    index = int((grid - level).abs().argmin())
    return index, float(grid[index])


def grid_points(step: int, steps: int, *, first: int = 20, last: int = 80) -> int:
    """Points of the grid at a step: `N(k) = min(s0 2^ceil(k / K'), s1) + 1`, `K' = ceil(K / log2(ceil(s1 / s0) + 1))`.

    Args:
        step: k, from 0.
        steps: K, of the whole run.
        first: s0.
        last: s1.

    >>> [grid_points(k, 600_000) for k in (0, 1, 258_400, 300_000, 600_000)]
    [21, 41, 41, 81, 81]
    """
    stage = stage_length(steps, first=first, last=last)
    return int(min(first * 2 ** math.ceil(step / stage), last)) + 1


def stage_length(steps: int, *, first: int = 20, last: int = 80) -> int:
    """Steps K' of a stage of `grid_points`.

    >>> stage_length(600_000)
    258406
    """
    return math.ceil(steps / math.log2(math.ceil(last / first) + 1))


def target_decay(step: int, steps: int, *, low: float = 0.99, high: float = 0.9999, sharpness: float = 10.0) -> float:
    """The share mu(k) of the target network that stays at a step; it rises from `low` to nearly `high`.

    `e = sqrt(k / K (b^2 - a^2) + a^2)`, `c = 2 / (1 + exp(-A (e - a) / (b - a))) - 1`, `mu = c b + (1 - c) a`.

    Args:
        step: k, from 0.
        steps: K, of the whole run.
        low: a.
        high: b.
        sharpness: A; 10 for ImageNet, 15 for CIFAR.

    >>> [round(target_decay(k, 600_000), 6) for k in (0, 1000, 60_000, 300_000, 600_000)]
    [0.99, 0.990083, 0.994592, 0.999769, 0.999899]
    """
    if high <= low:
        return low
    share = math.sqrt(step / steps * (high**2 - low**2) + low**2)
    bend = 2 / (1 + math.exp(-sharpness * (share - low) / (high - low))) - 1
    return bend * high + (1 - bend) * low


DATA = 0.5
"""Deviation of the data on the scale of [-1, 1], as the input scaling takes it."""
EMBEDDED = 64

Injection = Literal["bias", "film", "token"]
Output = Literal["logits", "features", "projection"]


class TimedEncoder(Protocol):
    """Interface of a network that takes the noise level itself; any other gets the noise level by `NoiseLevelNet`.

    Args:
        width: D, numbers a feature vector.
        head: a linear layer from D numbers to K logits.
    """

    width: int
    head: nn.Linear

    def features(self, images: Tensor, time: Tensor) -> Tensor:
        """Scaled noisy images `[N, C, H, W]` and their noise levels `[N]` to `[N, D]`."""


def is_timed(net: object) -> TypeGuard[TimedEncoder]:
    """Whether a network has what a `TimedEncoder` has; as a module's layers are found, which `isinstance` overlooks."""
    return all(hasattr(net, name) for name in ("width", "head", "features"))


def input_scale(time: Tensor) -> Tensor:
    """`c_in = 1 / sqrt(t^2 + 0.25)`: noisy images in [-1, 1] brought to a deviation of about 1.

    >>> [round(c, 6) for c in input_scale(torch.tensor([0.5, 1.0, 2.0])).tolist()]
    [1.414214, 0.894427, 0.485071]
    """
    return (time.square() + DATA**2).rsqrt()


class NoiseLevelNet(nn.Module):
    """Any classifying network, its last linear layer set apart, with the noise level brought in.

    Args:
        net: it gives up its last linear layer.
        injection: `bias` adds a vector to the features, `film` scales and shifts them, each before a layer norm;
            `token` gives a vision transformer one token more.

    Raises:
        ModelError: the net has no linear layer by a name, or is no transformer of a known form where that is needed.
    """

    def __init__(self, net: nn.Module, injection: Injection) -> None:
        super().__init__()
        parts = Parts(net) if injection == "token" else None
        last = last_layer(net)
        head = cast(nn.Linear, net.get_submodule(last))
        net.set_submodule(last, nn.Identity())
        self.injection, self.net, self.width = injection, net, head.in_features
        self.time = nn.Linear(EMBEDDED, self.width * (2 if injection == "film" else 1))
        if parts is None:
            self.norm = nn.LayerNorm(self.width)
        else:
            self.place = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, self.width), std=0.02))
        self.head = head  # the last linear layer that is registered: another number of classes replaces it

    def features(self, images: Tensor, time: Tensor) -> Tensor:
        """Features `[N, D]` of scaled noisy images `[N, C, H, W]` and their noise levels `[N]`.

        Raises:
            ModelError: what stands before the last linear layer gives no `[N, D]`.
        """
        embedding = self.time(time_embedding(time, EMBEDDED).to(self.time.weight))
        if self.injection == "token":
            parts = Parts(self.net)
            tokens, more = parts.tokens(images), embedding[:, None] + self.place
            ahead, patches = tokens[:, : parts.prefix], tokens[:, parts.prefix :]
            encoded = parts.encode(torch.cat([ahead, more.to(tokens), patches], 1))
            return encoded[:, 0] if parts.prefix else encoded.mean(1)
        found = self.net(images)
        if found.shape != (len(images), self.width):
            raise ModelError(
                f"{type(self.net).__name__} gives {tuple(found.shape)} without its last linear layer: "
                f"[N, {self.width}] is wanted"
            )
        if self.injection == "film":
            scale, shift = embedding.chunk(2, 1)
            found = found * (1 + scale) + shift
        else:
            found = found + embedding
        normed: Tensor = self.norm(found)
        return normed

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images, images.new_full((len(images),), CLEAN)))
        return logits


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """Three linear layers without bias, with batch norm and ReLU between them."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out, bias=False),
    )


class TimedNet(nn.Module):
    """A classifier's net for one noise level: scales its input by `c_in`, and gives the encoder the level.

    As a classifier it works at `level`, which stands among its weights. Under `asked` it takes other levels and gives
    other outputs.

    Args:
        encoder: takes the level.
        informed: whether the encoder gets it; else it always gets level 1.
    """

    level: Tensor
    projector: nn.Module | None

    def __init__(self, encoder: TimedEncoder, *, informed: bool = True) -> None:
        super().__init__()
        self.register_module("projector", None)  # before the encoder, whose head stays the last layer
        self.encoder: Any = encoder
        self.informed = informed
        self.register_buffer("level", torch.tensor(CLEAN))
        self._asked: tuple[Tensor, Output] | None = None
        self.detached = False

    @override
    def forward(self, images: Tensor) -> Tensor:
        time, output = (self.level.expand(len(images)), "logits") if self._asked is None else self._asked
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            scaled = images * input_scale(time.to(images)).view(-1, 1, 1, 1)
            features: Tensor = self.encoder.features(scaled, time if self.informed else torch.ones_like(time))
        if output == "features":
            return features
        found: Tensor = (self.encoder.head if output == "logits" else self.projector)(features)  # type: ignore[misc]
        return found

    @contextmanager
    def asked(self, time: Tensor, output: Output) -> Iterator[None]:
        """Calls inside are of other levels, `[N]`, and give logits, features `[N, D]` or their projection."""
        self._asked = (time, output)
        try:
            yield
        finally:
            self._asked = None

    @contextmanager
    def head_only(self, only: bool) -> Iterator[None]:
        """No gradient reaches the encoder inside, where `only`."""
        self.detached = only
        try:
            yield
        finally:
            self.detached = False


def timed(model: Classifier, *, injection: Injection, informed: bool, seed: int) -> TimedNet:
    """The classifier's net as a `TimedNet`, and its images on the scale of [-1, 1]; both are changed in place.

    A net that is one already is left as it is.

    Args:
        model: any.
        injection: see `NoiseLevelNet`; for a net that takes no level of its own.
        informed: see `TimedNet`.
        seed: of the weights that are added.

    Raises:
        ModelError: see `NoiseLevelNet`.
    """
    if isinstance(model.net, TimedNet):
        return model.net
    device = device_of(model)
    filters = (p.shape[1] for p in model.net.parameters() if p.ndim == 4)
    channels = next(filters, 1) if model.mean is None else len(model.mean)
    with seeded(seed):
        encoder = model.net if is_timed(model.net) else NoiseLevelNet(model.net, injection)
    net = TimedNet(encoder, informed=informed).to(device)
    model.net = net
    half = torch.full((channels, 1, 1), 0.5, device=device)
    model.mean, model.std = half, half.clone()
    return net

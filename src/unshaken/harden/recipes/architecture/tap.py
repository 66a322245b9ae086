"""TAP: each token mixes with its neighbourhood, at a scale of its own, before attention."""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import seeded
from unshaken.harden.engine.recipe import FirstTry, Recipe
from unshaken.models.networks.attention import attention_layers

NORMS = ("norm1", "ln_1")
"""What blocks call the norm before attention: this package's and timm's, torchvision's."""
DENSE = 256
"""Up to this number of tokens the pools are one matrix a sample, which is quicker than convolutions on a CPU."""


def neighbourhood_mean(grid: Tensor, dilation: int) -> Tensor:
    """The 3 x 3 mean with gaps, always over 9: what lies outside counts as 0.

    Args:
        grid: `[B, C, H, W]`.
        dilation: steps between the 9 places, 1 or more; 0 gives the grid itself.
    """
    if dilation == 0:
        return grid
    channels = grid.shape[1]
    kernel = grid.new_full((channels, 1, 3, 3), 1 / 9)
    return F.conv2d(grid, kernel, padding=dilation, dilation=dilation, groups=channels)


class TokenPooling(nn.Module):
    """`y = sum_d a_d D_d(u)`: D_0 the token itself, D_d its 3 x 3 neighbourhood at dilation d, a predicted by token.

    Tokens that belong to no place, such as a class token, pass as they are.

    Args:
        width: numbers a token.
        scales: K, the number of pools D_0 to D_{K-1}.
        temperature: divides the predictor's output.
        identity: added to the logit of D_0.
        prefix: tokens before those of the patches.
        grid: rows and columns of patches; None for a square.
    """

    def __init__(
        self,
        width: int,
        *,
        scales: int = 4,
        temperature: float = 1.0,
        identity: float = 0.0,
        prefix: int = 0,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.predictor = nn.Sequential(
            nn.Conv2d(width, scales, 3, padding=1, bias=False),
            nn.BatchNorm2d(scales),
            nn.Conv2d(scales, scales, 3, padding=1, bias=False),
        )
        self.scales, self.temperature, self.identity = scales, temperature, identity
        self.prefix, self.grid = prefix, grid

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        ahead, patches = tokens[:, : self.prefix], tokens[:, self.prefix :]
        high, wide = self._shape(tokens)
        grid = patches.transpose(1, 2).reshape(len(tokens), -1, high, wide)
        gate = self.gate(grid)
        if high * wide <= DENSE:
            # rows of the mixing matrix are sums of the pools' rows, weighed by each token's own gate
            pools = _matrices(high, wide, self.scales, gate.device).to(gate.dtype)
            pooled = torch.einsum("bkn,knm->bnm", gate.flatten(2), pools) @ patches
        else:
            mixed = gate[:, :1] * grid
            for d in range(1, self.scales):
                mixed = mixed + gate[:, d : d + 1] * neighbourhood_mean(grid, d)
            pooled = mixed.flatten(2).transpose(1, 2)
        return torch.cat([ahead, pooled], 1) if self.prefix else pooled

    def gate(self, grid: Tensor) -> Tensor:
        """The weights a of the scales at each token, `[N, K, H, W]`, of sum 1 over K.

        Args:
            grid: `[N, D, H, W]`.
        """
        logits: Tensor = self.predictor(grid) / self.temperature
        if self.identity:
            logits = torch.cat([logits[:, :1] + self.identity, logits[:, 1:]], 1)
        return logits.softmax(1)

    def _shape(self, tokens: Tensor) -> tuple[int, int]:
        if tokens.ndim != 3:
            raise ModelError(f"tap: tokens must be [N, T, D], not {tuple(tokens.shape)}: such blocks are not known")
        count = tokens.shape[1] - self.prefix
        if self.grid is not None and self.grid[0] * self.grid[1] == count:
            return self.grid
        side = math.isqrt(max(count, 0))
        if side * side != count or count < 1:
            raise ModelError(
                f"tap: {tokens.shape[1]} tokens less {self.prefix} ahead of the patches are no square grid: "
                "give prefix, or leave this model as it is"
            )
        return side, side


@cache
def _matrices(high: int, wide: int, scales: int, device: torch.device) -> Tensor:
    """The pools as matrices `[K, N, N]`: column by column what each makes of one token alone."""
    n = high * wide
    with torch.inference_mode(False), torch.no_grad():
        single = torch.eye(n, device=device).view(n, 1, high, wide)
        return torch.stack([neighbourhood_mean(single, d).view(n, n).T for d in range(scales)])


class PooledNorm(nn.Module):
    """Pooling, then the norm before attention: the residual path does not see it.

    Args:
        pool: mixes.
        norm: the block's own.
    """

    def __init__(self, pool: TokenPooling, norm: nn.Module) -> None:
        super().__init__()
        self.pool, self.norm = pool, norm

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.norm(self.pool(tokens))
        return found


@register("tap", reference="Guo et al. 2023, arXiv:2303.11126", needs=("attention",))
class TAP(Recipe):
    """TAP: token-aware average pooling before every attention block of a vision transformer.

    It changes the network, for training and for use. For a model that is trained already, `identity=4` begins near
    the model as it was. It knows blocks of this package's form, timm's and torchvision's, with a grid of patches.
    """

    first_try: ClassVar[FirstTry] = FirstTry(arch="small-vit")

    scales: PositiveInt = Field(
        default=4, description="pools: the token itself, and 3 x 3 means at dilations 1 to scales-1"
    )
    temperature: PositiveFloat = Field(default=1.0, description="divides the logits of the scales")
    identity: NonNegativeFloat = Field(default=0.0, description="added to the logit of the token itself")
    prefix: NonNegativeInt | None = Field(
        default=None, description="tokens before the patches; None: as the model says"
    )
    seed: NonNegativeInt = Field(default=0, description="random seed of the predictors' initial weights")

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return add_token_pooling(model, self)


def add_token_pooling(model: Classifier, settings: TAP | None = None) -> Classifier:
    """Put token-aware pooling into every block of a vision transformer, in place.

    Args:
        model: with blocks `x + attn(norm1(x))`.
        settings: of the pooling; None for the defaults.

    Raises:
        ModelError: there is no block of a known form.
    """
    settings = TAP() if settings is None else settings
    if any(isinstance(m, PooledNorm) for m in model.net.modules()):
        return model
    attending = set(map(id, attention_layers(model)))
    blocks = [
        (block, name)
        for block in model.net.modules()
        for name in NORMS
        if isinstance(getattr(block, name, None), nn.LayerNorm)
        and any(id(child) in attending for child in block.children())
        and not type(block).__name__.startswith("ResPost")
    ]
    if not blocks:
        raise ModelError(
            f"model {model.name!r} has no blocks with a norm before attention (norm1 or ln_1): tap does not know them"
        )
    prefix = _prefix(model.net) if settings.prefix is None else settings.prefix
    grid = getattr(getattr(model.net, "patch_embed", None), "grid_size", None)
    with seeded(settings.seed):
        for block, name in blocks:
            norm: Any = getattr(block, name)
            pool = TokenPooling(
                norm.normalized_shape[0],
                scales=settings.scales,
                temperature=settings.temperature,
                identity=settings.identity,
                prefix=prefix,
                grid=None if grid is None else (int(grid[0]), int(grid[1])),
            )
            setattr(block, name, PooledNorm(pool.to(norm.weight.device), norm))
    return model


def scale_shares(model: Classifier, images: Tensor) -> Tensor:
    """Share that each block takes of each scale, mean over images and tokens.

    Args:
        model: with token-aware pooling.
        images: `[N, C, H, W]` in [0, 1].

    Returns:
        `[L, K]`, rows of sum 1.

    Raises:
        ModelError: the model has no such pooling.
    """
    found: list[Tensor] = []
    pools = [m for m in model.net.modules() if isinstance(m, TokenPooling)]
    if not pools:
        raise ModelError(f"model {model.name!r} has no token-aware pooling: add it by the recipe tap")

    def note(pool: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(pool, TokenPooling):
            grid = inputs[0][:, pool.prefix :].transpose(1, 2).reshape(len(inputs[0]), -1, *pool._shape(inputs[0]))
            found.append(pool.gate(grid).mean((0, 2, 3)))

    with evaluating(model), torch.no_grad(), ExitStack() as hooks:
        for pool in pools:
            hooks.enter_context(pool.register_forward_pre_hook(note))
        model(images)
    return torch.stack(found)


def _prefix(net: Any) -> int:
    """Tokens before those of the patches."""
    known = getattr(net, "num_prefix_tokens", None)
    if isinstance(known, int):
        return known
    names = ("class_token", "cls_token", "dist_token", "register_tokens", "reg_token")
    tokens = (getattr(net, name, None) for name in names)
    return sum(t.shape[-2] for t in tokens if isinstance(t, Tensor))

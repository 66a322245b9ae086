"""The tokens of a vision transformer: which of them are patches of the image, and which the score is read from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.models.networks.attention import attention_layers, attention_names, is_plain, output_place, token_side

LEAST = 1e-6
"""A token whose gradient is below this share of the largest one is not read."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """How the tokens of a model lie.

    Args:
        layers: its attention layers, in the order of its blocks.
        names: of these layers.
        grid: rows and columns of patches.
        before: tokens before those of the patches: a class token, registers.
        read: the share of each token in what the head reads, `[T]`, of sum 1: a class token alone, or all patches.
    """

    layers: tuple[nn.Module, ...]
    names: tuple[str, ...]
    grid: tuple[int, int]
    before: int
    read: Tensor

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what goes into the layers."""
        return tuple(name + INPUT for name in self.names)


def find_tokens(model: Classifier, images: Tensor) -> Tokens:
    """See `Tokens`.

    Which tokens the head reads is seen from the gradient of the logits by what the last attention layer gives: it is
    zero for all others. So a class token, a mean over patches, and registers that nobody reads need no name.

    Args:
        model: a vision transformer whose every layer attends over the whole image.
        images: at least one, `[n, C, H, W]`.

    Raises:
        ModelError: it is none.
    """
    names, layers, side = attention_names(model), tuple(attention_layers(model)), token_side(model)
    grid, tokens = (images.shape[2] // side, images.shape[3] // side), 0
    with evaluating(model), torch.enable_grad():
        points = images[:1].detach().clone().requires_grad_(True)
        places = _output_places(names, layers)
        logits, found = model.features(points, [*(name + INPUT for name in names), *places.values(), names[-1]])
        for name, layer in zip(names, layers, strict=True):
            count = _count(layer, found[name + INPUT], tokens)
            if count is None or count < grid[0] * grid[1]:
                raise ModelError(
                    f"model {model.name!r}: {list(found[name + INPUT].shape)} goes into the attention layer {name!r}, "
                    f"not the tokens of all {grid[0]} x {grid[1]} patches of one image: attention in windows or over "
                    "merged patches has no map of its own; use gradcam or integrated-gradients"
                )
            tokens = count
            with torch.no_grad():
                plain = name not in places or is_plain(layer, found[name + INPUT], found[places[name]])
            if not plain:
                raise ModelError(
                    f"model {model.name!r}: the heads of the attention layer {name!r} do more than softmax(q k') v "
                    "(such as a bias or a rotation by position), which is not read here: use integrated-gradients or "
                    "rise"
                )
        last = found[names[-1]]
        spread = torch.linspace(1, 2, logits.shape[1], device=logits.device)  # logits that sum to a constant, too
        (gradient,) = torch.autograd.grad((logits * spread).sum(), last, allow_unused=True)
    gradient = torch.zeros_like(last) if gradient is None else gradient
    size = torch.linalg.vector_norm(gradient.reshape(tokens, -1), dim=1)
    read = ~(size <= LEAST * size.max())  # what is no number counts as read, and shows in the map
    if not bool(read.any()):
        raise ModelError(f"model {model.name!r}: no logit hangs on what its last attention layer {names[-1]!r} gives")
    return Tokens(layers, names, grid, tokens - grid[0] * grid[1], read.float() / read.sum())


def _output_places(names: tuple[str, ...], layers: tuple[nn.Module, ...]) -> dict[str, str]:
    """Where the heads' outputs of each layer are read; a layer where they are not to be read is left out."""
    found: dict[str, str] = {}
    for name, layer in zip(names, layers, strict=True):
        with suppress(ModelError):
            found[name] = output_place(layer, name)
    return found


def _count(layer: nn.Module, given: Tensor, expected: int) -> int | None:
    """The number of tokens of one image, or None where it is not such an input, or not as before."""
    if given.ndim != 3:
        return None
    if isinstance(layer, nn.MultiheadAttention) and not layer.batch_first:
        given = given.transpose(0, 1)
    count = given.shape[1]
    return count if len(given) == 1 and expected in (0, count) else None

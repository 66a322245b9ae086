"""Layers spread over the depth of a network, or those that were named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError, did_you_mean
from unshaken.explain.engine.layers import layer_shapes


@dataclass(frozen=True, slots=True)
class DepthLayer:
    """A layer and where it is.

    Args:
        name: as in `net.named_modules()`; `NAME:in` for what goes into a layer.
        depth: its place among all layers in the order of a forward pass, in (0, 1]; the input is at 0.
    """

    name: str
    depth: float


def depth_layers(model: Classifier, images: Tensor, names: str = "", *, most: int = 6) -> list[DepthLayer]:
    """The layers to look at.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.
        names: layers joined by `+`; empty to choose convolutions and linear layers spread over the depth, and what goes
            into the last linear layer.
        most: how many are chosen, that last one not counted.

    Raises:
        ModelError: a layer does not exist or gives no tensor, or there is none to choose.
    """
    shapes = dict(layer_shapes(model, images))
    depths = {name: (i + 1) / len(shapes) for i, name in enumerate(shapes)}
    if names:
        return [_named(model, name, shapes, depths) for name in dict.fromkeys(filter(None, names.split("+")))]
    modules = dict(model.net.named_modules())
    weighted = [n for n in shapes if isinstance(modules[n], nn.Conv2d | nn.Linear)]
    last = [n for n in weighted if isinstance(modules[n], nn.Linear)][-1:]
    rest = [n for n in weighted if n not in last]
    if not weighted:
        there = ", ".join(list(shapes)[:8]) or "none"
        raise ModelError(f"model {model.name!r} has no convolution or linear layer: name layers=A+B, of {there}")
    count = min(most, len(rest))
    places = [round(i * (len(rest) - 1) / max(1, count - 1)) for i in range(count)]
    chosen = [DepthLayer(rest[p], depths[rest[p]]) for p in places]
    return [*chosen, *(DepthLayer(f"{n}{INPUT}", depths[n]) for n in last)]


def _named(
    model: Classifier, name: str, shapes: Mapping[str, tuple[int, ...]], depths: Mapping[str, float]
) -> DepthLayer:
    plain = name.removesuffix(INPUT)
    if plain not in shapes:
        raise ModelError(f"model {model.name!r} has no layer {plain!r}; {did_you_mean(plain, shapes)}")
    return DepthLayer(name, depths[plain])

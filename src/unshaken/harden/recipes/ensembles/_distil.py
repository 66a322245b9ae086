"""Distilled images: they look like one image, and a network sees another in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unshaken.attack.engine.ball import Ball
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, did_you_mean
from unshaken.core.meter import Meter

LOGITS = "logits"
"""The last distillation point: what the network says."""


def distillation_points(model: Classifier) -> tuple[str, ...]:
    """Layers whose outputs are matched unless others are named: what is before a ReLU, and the logits.

    These are the batch norms of the network, or its convolutions where it has none.
    """
    named = list(model.net.named_modules())
    norms = [name for name, m in named if isinstance(m, nn.BatchNorm2d)]
    return (*(norms or [name for name, m in named if isinstance(m, nn.Conv2d)]), LOGITS)


class _LayerReached(Exception):
    """The features of a layer, thrown out of a forward pass."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


@contextmanager
def features_at(model: Classifier, layer: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Inside, a function from images to a layer's output; nothing after the layer is computed.

    Args:
        model: the classifier.
        layer: as in `net.named_modules()`, or `logits`.

    Raises:
        ModelError: there is no such layer, or a pass does not come by it.
    """
    if layer == LOGITS:
        yield model
        return
    modules = dict(model.net.named_modules())
    if layer not in modules:
        raise ModelError(f"model {model.name!r} has no layer {layer!r}; {did_you_mean(layer, [*modules, LOGITS])}")

    def thrown(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        raise _LayerReached(output)  # before a ReLU that works in place can change it

    def look(images: Tensor) -> Tensor:
        try:
            model(images)
        except _LayerReached as reached:
            return reached.features
        raise ModelError(f"model {model.name!r}: a forward pass does not come by the layer {layer!r}")

    handle = modules[layer].register_forward_hook(thrown)
    try:
        yield look
    finally:
        handle.remove()


def distil(
    model: Classifier,
    sources: Tensor,
    targets: Tensor,
    *,
    layer: str,
    eps: float,
    steps: int = 10,
    step_size: float = 0.1,
    momentum: float = 1.0,
    meter: Meter | None = None,
) -> Tensor:
    """`argmin_z |f^l(z) - f^l(x)|^2` over `|z - x_s|_inf <= eps` and [0, 1], by sign descent from the source x_s.

    `g <- mu g + grad / |grad|_1`, `z <- z - alpha sign(g)`. The network is used as it stands: put it into evaluation
    mode first (see `evaluating`), or its statistics follow the images.

    Args:
        model: f.
        sources: x_s, `[N, C, H, W]` in [0, 1].
        targets: x, the same shape.
        layer: l, see `features_at`.
        eps: radius in [0, 1] pixel units.
        steps: T.
        step_size: alpha, as a share of eps.
        momentum: mu; 0 for plain sign descent.
        meter: counts the passes.

    Returns:
        `[N, C, H, W]`.
    """
    ball = Ball.of(sources, torch.full((len(sources),), eps, device=sources.device), "linf")
    z, g = sources, torch.zeros_like(sources)
    with features_at(model, layer) as look:
        with torch.no_grad():
            wanted = look(targets)
        for _ in range(steps):
            z = z.detach().requires_grad_(True)
            with torch.enable_grad():
                (slope,) = torch.autograd.grad((look(z) - wanted).square().sum(), z)
            size = slope.abs().sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
            g = momentum * g + slope / size
            z = ball.project(z.detach() - step_size * eps * ball.steepest(g, z.detach()))
    if meter is not None:
        meter.forwards += (steps + 1) * len(sources)
        meter.backwards += steps * len(sources)
    return z

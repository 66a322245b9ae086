"""`Anatomy`: the layers of a model that detectors read, and its last linear layer; features for images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier, evaluating, fit_view
from unshaken.core.device import float64_device
from unshaken.core.errors import ModelError
from unshaken.core.oracle import required

STAGES = 4
"""Layers that are chosen in a network whose outputs all have one shape."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Layers of a model: its last linear layer, and one layer per spatial size.

    Args:
        name: of the model, for messages.
        classes: K.
        head: name of the linear layer that gives the logits; None where there is none, or none that can be seen.
        stages: names of layers, one for each size that the picture has on its way, from the first to the last.
        weight: the head's W `[K, d]`; None without a head.
        bias: the head's b `[K]`.
        maps: name of the layer of several places whose average the head weighs; None where none is seen.
        rectified: whether `max(0, .)` comes between that layer and the average.
    """

    name: str
    classes: int
    head: str | None
    stages: tuple[str, ...]
    weight: Tensor | None = None
    bias: Tensor | None = None
    maps: str | None = None
    rectified: bool = False

    @classmethod
    def of(cls, model: Classifier, images: Tensor) -> Anatomy:
        """Find the layers of a model in a forward pass on a few images.

        Args:
            model: left as it is.
            images: `[N, C, H, W]` in [0, 1], at least one, on the model's device.
        """
        outputs: list[tuple[str, nn.Module, Tensor]] = []
        with evaluating(model), torch.no_grad(), _watched(model.net, outputs):
            logits = model(images[:2])
        linear = [
            n
            for n, m, y in outputs
            if isinstance(m, nn.Linear)
            and y.shape == logits.shape
            and torch.allclose(y, logits, rtol=0, atol=0, equal_nan=True)
        ]
        found = cls.named(model, logits.shape[1], linear[-1] if linear else None, _stages(outputs))
        values = {name: y for name, _, y in outputs}
        found = found.with_maps(values, logits)
        if found.stages and found.head and _heads(found, values[found.stages[-1]], logits):
            return replace(found, stages=found.stages[:-1])  # its average is what the head weighs, and has a name
        return found

    @classmethod
    def named(
        cls,
        model: Classifier,
        classes: int,
        head: str | None,
        stages: tuple[str, ...],
        maps: str | None = None,
        rectified: bool = False,
    ) -> Anatomy:
        """The anatomy of a model whose layers are known by name.

        Raises:
            ModelError: the head is no linear layer of this model.
        """
        if head is None:
            return cls(model.name, classes, None, stages)
        linear = dict(model.net.named_modules()).get(head)
        if not isinstance(linear, nn.Linear):
            raise ModelError(
                f"model {model.name!r} has no linear layer {head!r}; it is not the model that was fitted on"
            )
        weight = linear.weight.detach().to(float64_device(linear.weight.device)).float()
        bias = torch.zeros_like(weight[:, 0]) if linear.bias is None else linear.bias.detach().to(weight)
        return cls(model.name, classes, head, stages, weight, bias, maps, rectified)

    def with_maps(self, outputs: Mapping[str, Tensor], logits: Tensor) -> Anatomy:
        """The same with `maps`, the last layer of several places whose average, rectified or not, gives the logits.

        Args:
            outputs: layer to its values, in the order of the pass.
            logits: `[N, K]` of the same images.
        """
        for name, y in reversed(list(outputs.items())) if self.head else ():
            if (y.ndim == 4 and y[0, 0].numel() > 1) or (y.ndim == 3 and y.shape[1] > 1):
                for rectified in (False, True):
                    if _heads(self, y.relu() if rectified else y, logits):
                        return replace(self, maps=name, rectified=rectified)
        return self

    @property
    def penultimate(self) -> str:
        """The layer whose values the head weighs.

        Raises:
            ModelError: there is no head.
        """
        if self.head is None:
            raise ModelError(
                f"model {self.name!r} has no linear layer that gives its logits: use a detector that needs logits "
                "only, or mahalanobis, relative-mahalanobis, lid or gram with layers of your own (layer=NAME)"
            )
        return self.head + INPUT

    @property
    def linear(self) -> tuple[Tensor, Tensor]:
        """The head's W `[K, d]` and b `[K]`.

        Raises:
            ModelError: there is no head.
        """
        self.penultimate  # noqa: B018  # raises where there is no head
        return required(self.weight), required(self.bias)

    def read_out(self, features: Tensor) -> Tensor:
        """Logits `W f + b` of other features, float64 `[N, K]`.

        Args:
            features: `[N, d]`.

        Raises:
            ModelError: there is no head.
        """
        weight, bias = self.linear
        return (features.to(weight) @ weight.T + bias).double()


@contextmanager
def _watched(net: nn.Module, outputs: list[tuple[str, nn.Module, Tensor]]) -> Iterator[None]:

    def note(name: str) -> Any:
        def hook(module: nn.Module, _given: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs.append((name, module, output.clone()))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in net.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _heads(anatomy: Anatomy, values: Tensor, logits: Tensor) -> bool:
    """Whether a layer's average over places is what goes into the head."""
    pooled = values.mean((2, 3)) if values.ndim == 4 else values.mean(1)
    if pooled.shape[1] != anatomy.linear[0].shape[1]:
        return False
    found = anatomy.read_out(pooled)
    return torch.allclose(found, logits.to(found.device).double(), rtol=1e-4, atol=1e-5)


def _stages(outputs: list[tuple[str, nn.Module, Tensor]]) -> tuple[str, ...]:
    """The last layer at each size of the picture; of one size throughout, a few of the commonest kind of block."""
    maps = [(n, m, y) for n, m, y in outputs if y.ndim in (3, 4)]
    last = {y.shape[2:] if y.ndim == 4 else y.shape[1:]: n for n, _, y in maps}
    if len(last) > 1:
        return tuple(last.values())
    kinds = [type(m).__name__ for _, m, _ in maps if next(m.children(), None) is not None]
    common = max(set(kinds), key=kinds.count, default=None)
    blocks = [n for n, m, _ in maps if type(m).__name__ == common] or [n for n, _, _ in maps]
    return tuple(blocks[round((i + 1) * len(blocks) / STAGES) - 1] for i in range(STAGES)) if blocks else ()


def as_seen(images: Tensor, model: Classifier) -> Tensor:
    """Images in the size and with the channels that a model takes, by bilinear interpolation.

    Args:
        images: float `[N, C, H, W]` in [0, 1].
        model: whose view says what it takes; without one the images stay.
    """
    found = fit_view(images, model.view)
    return found if found is images else found.clamp(0, 1)


@torch.no_grad()
def predicted(model: Classifier, images: Tensor, batch_size: int = 64) -> Tensor:
    """Probabilities `[N, K]` of a classifier in evaluation mode."""
    return torch.cat([model(as_seen(part, model)).float().softmax(1) for part in torch.split(images, batch_size)])


@torch.no_grad()
def penultimate(model: Classifier, images: Tensor, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """Features `[N, D]` that a classifier's linear head weighs, float64, and its predictions `[N]`.

    They are on the device of the images, or on the CPU where that has no float64.

    Raises:
        ModelError: the model has no linear head.
    """
    layer = Anatomy.of(model, as_seen(images[:1], model)).penultimate
    features, labels, place = [], [], float64_device(images.device)
    for part in torch.split(images, batch_size):
        logits, found = model.features(as_seen(part, model), [layer])
        features.append(found[layer].flatten(1).to(place).double())
        labels.append(logits.argmax(1).to(place))
    return torch.cat(features), torch.cat(labels)

"""A network without some of its units: their activations are multiplied by 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, did_you_mean
from unshaken.explain.units.layers import unit_axis


class Unit(NamedTuple):
    """A channel of a layer's output.

    Args:
        layer: its name.
        unit: from 0.
    """

    layer: str
    unit: int

    @override
    def __str__(self) -> str:
        return f"{self.layer}:{self.unit}"


def by_layer(units: Iterable[Unit]) -> dict[str, list[int]]:
    """The units of each layer.

    >>> by_layer([Unit("conv", 3), Unit("conv", 1)])
    {'conv': [3, 1]}
    """
    found: dict[str, list[int]] = {}
    for layer, unit in units:
        found.setdefault(layer, []).append(unit)
    return found


@contextmanager
def ablating(model: Classifier, units: Iterable[Unit] | Mapping[str, Sequence[int]]) -> Iterator[Classifier]:
    """Within it the model works without some units; afterwards it is as it was.

    Args:
        model: a classifier.
        units: of layers with maps, tokens (all of them lose the channel) or vectors.

    Raises:
        ModelError: there is no such layer; or, in a forward pass, no such unit.
    """
    chosen = units if isinstance(units, Mapping) else by_layer(units)
    modules = dict(model.net.named_modules())
    handles = []
    try:
        for layer, numbers in chosen.items():
            if layer not in modules:
                raise ModelError(f"model {model.name!r} has no layer {layer!r}; {did_you_mean(layer, modules)}")
            handles.append(modules[layer].register_forward_hook(_Without(layer, tuple(numbers))))
        yield model
    finally:
        for handle in handles:
            handle.remove()


class _Without:
    """A hook that multiplies units by 0."""

    def __init__(self, layer: str, units: tuple[int, ...]) -> None:
        self.layer, self.units = layer, list(units)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        axis = unit_axis(output)
        if self.units and not 0 <= min(self.units) <= max(self.units) < output.shape[axis]:
            raise ModelError(f"layer {self.layer!r} has the units 0 to {output.shape[axis] - 1}, not {max(self.units)}")
        keep = torch.ones(output.shape[axis], dtype=output.dtype, device=output.device)
        keep[self.units] = 0
        return output * keep.view([-1 if d == axis else 1 for d in range(output.ndim)])

"""The layer whose output still has places: where class activation maps are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ModelError, did_you_mean, is_out_of_memory


def last_map_layer(model: Classifier, images: Tensor) -> str:
    """The last layer, in the order of a forward pass, whose output is `[N, D, h, w]` with several places.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.

    Raises:
        ModelError: no layer has such an output.
    """
    found = [name for name, shape in layer_shapes(model, images[:1]) if len(shape) == 4 and shape[2] * shape[3] > 1]
    if not found:
        raise ModelError(
            f"model {model.name!r} has no layer with maps (an output of shape [N, D, h, w]): use a method that looks "
            "at pixels alone, such as integrated-gradients or rise"
        )
    return found[-1]


def find_map_layer(model: Classifier, images: Tensor, layer: str) -> tuple[str, tuple[int, ...]]:
    """The layer that was named, or the last one with places, and the shape `[D, h, w]` of its output.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.
        layer: its name; empty for the last one.

    Raises:
        ModelError: there is no such layer.
    """
    name = check_map_layer(model, images, layer) if layer else last_map_layer(model, images)
    return name, dict(layer_shapes(model, images[:1]))[name][1:]


def check_map_layer(model: Classifier, images: Tensor, layer: str) -> str:
    """A layer that was named by the user.

    Raises:
        ModelError: there is none of this name, or its output has no places.
    """
    shapes = dict(layer_shapes(model, images[:1]))
    if layer not in shapes:
        raise ModelError(f"model {model.name!r} has no layer {layer!r}; {did_you_mean(layer, shapes)}")
    if len(shapes[layer]) != 4:
        raise ModelError(
            f"layer {layer!r} of model {model.name!r} gives {list(shapes[layer])}, not maps [N, D, h, w]; the last one "
            f"with maps is {last_map_layer(model, images)!r}"
        )
    return layer


def check_layers(model: Classifier, images: Tensor, layers: Sequence[str]) -> None:
    """Check that layers exist and give a tensor; `NAME:in` means what goes into a layer.

    Raises:
        ModelError: one does not; the message has near names.
    """
    shapes = dict(layer_shapes(model, images[:1]))
    for layer in layers:
        if layer.removesuffix(INPUT) not in shapes:
            raise ModelError(f"model {model.name!r} has no layer {layer!r}; {did_you_mean(layer, shapes)}")


def layer_shapes(model: Classifier, images: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the outputs of all layers, in the order in which a forward pass ends them.

    A layer that runs several times is there as often; one whose output is no single tensor is left out.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.

    Raises:
        ModelError: the model cannot take images of this shape.
    """
    found: list[tuple[str, tuple[int, ...]]] = []
    handles = []
    for name, module in model.net.named_modules():
        if name:
            handles.append(module.register_forward_hook(_Shape(name, found)))
    try:
        with evaluating(model), torch.no_grad():
            model(images)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        shape = " x ".join(map(str, images.shape[1:]))
        raise ModelError(
            f"model {model.name!r} cannot take images of {shape} ({str(error).partition(chr(10))[0]}): "
            "name the size that it takes in its SPEC, as in py:net.py:build?size=224"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return found


@dataclass(frozen=True, slots=True)
class _Shape:
    """A hook that notes a layer's name and the shape of its output."""

    name: str
    found: list[tuple[str, tuple[int, ...]]]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor):
            self.found.append((self.name, tuple(output.shape)))

"""Layers of a network: the last one whose output has places, those of a user, and some spread over the depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

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
    return [(layer.name, layer.shape) for layer in layer_outputs(model, images)]


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """Output of a layer in a forward pass.

    Args:
        name: of the layer.
        shape: of its output.
        is_repeated: whether it handed on the output of an earlier layer, as a container, identity or dropout does.
    """

    name: str
    shape: tuple[int, ...]
    is_repeated: bool


def layer_outputs(model: Classifier, images: Tensor) -> list[LayerOutput]:
    """The outputs of all layers: see `layer_shapes`.

    Args:
        model: as in `layer_shapes`.
        images: as in `layer_shapes`.

    Raises:
        ModelError: as `layer_shapes`.
    """
    found: list[LayerOutput] = []
    known: WeakValueDictionary[tuple[int, int], Tensor] = WeakValueDictionary()

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            key = id(output), output._version  # which a change in place makes another one
            found.append(LayerOutput(name, tuple(output.shape), known.get(key) is output))
            known[key] = output

    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
        for name, module in model.net.named_modules()
        if name
    ]
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
class DepthLayer:
    """A layer and where it is.

    Args:
        name: as in `net.named_modules()`; `NAME:in` for what goes into a layer.
        depth: its place among all layers in the order of a forward pass, in (0, 1]; the input is at 0.
    """

    name: str
    depth: float


def depth_layers(model: Classifier, images: Tensor, names: tuple[str, ...] = (), *, most: int = 6) -> list[DepthLayer]:
    """Choose layers over the depth of a network, or find those that are named.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.
        names: layers; empty to choose convolutions and linear layers spread over the depth, and what goes
            into the last linear layer.
        most: how many are chosen, that last one not counted.

    Raises:
        ModelError: a layer does not exist or gives no tensor, or there is none to choose.
    """
    shapes = dict(layer_shapes(model, images))
    depths = {name: (i + 1) / len(shapes) for i, name in enumerate(shapes)}
    if names:
        chosen = []
        for name in dict.fromkeys(names):
            plain = name.removesuffix(INPUT)
            if plain not in shapes:
                raise ModelError(f"model {model.name!r} has no layer {plain!r}; {did_you_mean(plain, shapes)}")
            chosen.append(DepthLayer(name, depths[plain]))
        return chosen
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

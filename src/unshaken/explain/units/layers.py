"""Units of layers: their maps, the layers to choose, and one forward pass that hands their maps on as they come."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, did_you_mean
from unshaken.explain.engine.layers import layer_outputs

MOST_EXTRA = 8
"""Tokens without a place that may stand before those of patches: a class token, registers."""


def unit_maps(output: Tensor, layer: str = "the layer") -> Tensor:
    """The activation map of each unit, `[N, D, h, w]`.

    Maps stay as they are, a vector `[N, D]` becomes maps of one place. Tokens `[N, T, D]` lose those without a place,
    which stand first, and become a square grid in row-major order: of 197 tokens the second is top left.

    Args:
        output: of a layer.
        layer: its name, for messages.

    Raises:
        ModelError: the output has another number of dimensions, or its tokens form no square.

    >>> import torch
    >>> unit_maps(torch.zeros(2, 197, 8)).shape
    torch.Size([2, 8, 14, 14])
    """
    if output.ndim == 4:
        return output
    if output.ndim == 2:
        return output[:, :, None, None]
    if output.ndim == 3:
        extra = extra_tokens(output.shape[1], layer)
        side = math.isqrt(output.shape[1] - extra)
        return output[:, extra:].transpose(1, 2).reshape(len(output), -1, side, side)
    raise ModelError(
        f"{layer} gives {list(output.shape)}: units are channels of maps [N, D, h, w], of tokens [N, T, D] or of a "
        "vector [N, D]; choose another layer"
    )


def extra_tokens(tokens: int, layer: str = "the layer") -> int:
    """The number of tokens without a place, the fewest that leave a square.

    Raises:
        ModelError: none of up to `MOST_EXTRA` does.

    >>> [extra_tokens(n) for n in (197, 196, 785, 198, 201)]
    [1, 0, 1, 2, 5]
    """
    for extra in range(min(MOST_EXTRA, tokens - 1) + 1):
        if math.isqrt(tokens - extra) ** 2 == tokens - extra:
            return extra
    raise ModelError(
        f"{layer} gives {tokens} tokens, which are no square grid after up to {MOST_EXTRA} tokens without a place: use "
        "square images, or choose another layer"
    )


def unit_axis(output: Tensor) -> int:
    """The dimension of the units in the output of a layer: the last of tokens, the second of maps and vectors."""
    return 2 if output.ndim == 3 else 1


PADDING = (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)
PASSING = (*PADDING, nn.Identity, nn.Dropout, nn.Dropout2d)
"""Layers that compute nothing of their own."""
Reader = Callable[[str, Tensor], None]
"""Is given a layer's name and its maps `[N, D, h, w]`."""


def unit_layers(model: Classifier, images: Tensor, patterns: Sequence[str] = ()) -> dict[str, tuple[int, int, int]]:
    """The layers to look at, each with its number of units and the height and width of their maps.

    Args:
        model: a classifier.
        images: at least one, `[n, C, H, W]`.
        patterns: names, or patterns such as `blocks.*.conv_pw`; `*` for all layers. Patterns pass over layers that have
            no units of their own: padding, and those that hand on the output of another one. Without any: the last
            layer of each size of map, where a stage of the network ends.

    Raises:
        ModelError: a name fits no layer, or one that runs several times in a pass or whose output has no units.
    """
    outputs = layer_outputs(model, images[:1])
    times = Counter(layer.name for layer in outputs)
    single = [layer for layer in outputs if times[layer.name] == 1]
    usable: dict[str, tuple[int, int, int]] = {}
    for layer in single:
        with suppress(ModelError):  # layers whose output has no units
            maps = unit_maps(torch.empty(layer.shape, device="meta"))
            usable[layer.name] = maps.shape[1], maps.shape[2], maps.shape[3]
    modules = dict(model.net.named_modules())
    if not patterns:
        return _stage_ends(model, {n: found for n, found in usable.items() if not isinstance(modules[n], PASSING)})
    own = {layer.name for layer in single if not layer.is_repeated and not isinstance(modules[layer.name], PADDING)}
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern in usable:
            chosen.add(pattern)
            continue
        if pattern in times:
            why = "runs several times in a pass" if times[pattern] > 1 else "has no units in its output"
            raise ModelError(f"layer {pattern!r} of model {model.name!r} {why}: choose another one")
        fits = {name for name in usable if name in own and fnmatchcase(name, pattern)}
        if not fits:
            raise ModelError(f"model {model.name!r} has no layer {pattern!r}; {did_you_mean(pattern, usable)}")
        chosen |= fits
    return {name: found for name, found in usable.items() if name in chosen}


def _stage_ends(model: Classifier, usable: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
    last = {found[1:]: name for name, found in usable.items() if found[1] * found[2] > 1}
    if not last:
        raise ModelError(
            f"model {model.name!r} has no layer whose units have maps: name layers, such as "
            f"{', '.join(list(usable)[-2:]) or 'none that it has'}"
        )
    return {name: found for name, found in usable.items() if name in last.values()}


def read_units(model: Classifier, images: Tensor, layers: Sequence[str], reader: Reader) -> None:
    """One forward pass whose layers' maps are handed on as soon as they are there, and not kept.

    Args:
        model: a classifier.
        images: `[N, C, H, W]`.
        layers: as `unit_layers` gives them.
        reader: see `Reader`; it must not change the maps.
    """
    with evaluating(model), torch.no_grad(), _hooked(model.net, layers, reader):
        model(images)


@contextmanager
def _hooked(net: nn.Module, layers: Sequence[str], reader: Reader) -> Iterator[None]:
    handles = []
    try:
        for layer in layers:

            def read(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = layer) -> None:
                reader(name, unit_maps(output, f"layer {name!r}").float())

            handles.append(net.get_submodule(layer).register_forward_hook(read))
        yield
    finally:
        for handle in handles:
            handle.remove()

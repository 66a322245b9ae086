"""What a network's last linear layer weighs, beside its logits, from one training pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, nn

from unshaken.core.errors import ModelError


def last_layer(net: nn.Module) -> str:
    """The name of a network's last linear layer, as it registers its modules.

    Raises:
        ModelError: the net has no linear layer under a name.
    """
    linear: list[str] = [name for name, module in net.named_modules() if isinstance(module, nn.Linear) and name]
    if not linear:
        raise ModelError(f"{type(net).__name__} has no linear layer at its end: give a network with a head")
    return linear[-1]


@contextmanager
def watched_features(net: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Passes inside leave their features `[N, D]` in a list, with their graph.

    Args:
        net: the network, which is called inside.
        layer: name of a linear layer.

    Raises:
        ModelError: what goes into the layer is not `[N, D]`.
    """
    found: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].ndim != 2:
            raise ModelError(f"the last linear layer {layer!r} is given {tuple(inputs[0].shape)}: [N, D] is wanted")
        found.append(inputs[0])

    handle = cast(nn.Linear, net.get_submodule(layer)).register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        handle.remove()

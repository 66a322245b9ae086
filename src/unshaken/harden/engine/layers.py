"""The layers of any network in order: what "the first k layers" and "the last blocks" mean."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from unshaken.core.errors import ModelError

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)
CONTAINERS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or linear layer with its norm, or a whole block.

    Args:
        modules: paths as in `net.named_modules()`.
        keys: names of its parameters as in `net.named_parameters()`.
    """

    modules: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path of its first module."""
        return self.modules[0]


def ordered_layers(net: nn.Module) -> list[Layer]:
    """The layers with parameters, in the order in which the network registers them; the classifier is the last.

    Lists and sequences of modules are entered; a module of another kind is a block, unless it holds more than half of
    all parameters and a list of blocks itself. A norm goes with the layer before it, a parameter
    that a list of blocks holds by itself with the first of them.

    Raises:
        ModelError: there are fewer than two: no body and classifier to tell apart.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    >>> [layer.modules for layer in ordered_layers(net)]
    [('0', '1'), ('4',)]
    """
    half = sum(p.numel() for p in net.parameters()) / 2
    found: list[Layer] = []
    for path in _paths(net, "", half):
        module = net.get_submodule(path)
        keys = tuple(f"{path}.{name}" for name, _ in module.named_parameters())
        if found and isinstance(module, NORMS):
            last = found.pop()
            found.append(Layer((*last.modules, path), last.keys + keys))
        else:
            found.append(Layer((path,), keys))
    if len(found) < 2:
        raise ModelError(
            f"a network of {len(found)} layer has no body apart from its classifier: name the layers yourself"
        )
    seen = {key for layer in found for key in layer.keys}
    for name in reversed([name for name, _ in net.named_parameters() if name not in seen]):
        holder = name.rpartition(".")[0]
        at = next(i for i, layer in enumerate(found) if not holder or layer.modules[0].startswith(f"{holder}."))
        found[at] = Layer(found[at].modules, (name, *found[at].keys))
    return found


def _paths(module: nn.Module, path: str, half: float) -> list[str]:
    """Paths of the layers and blocks below a module."""
    found = []
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if not any(True for _ in child.parameters()):
            continue
        found += _paths(child, below, half) if _is_open(child, half) else [below]
    return found


def _is_open(module: nn.Module, half: float) -> bool:
    """Whether a module is a list of layers and no layer itself."""
    if isinstance(module, CONTAINERS):
        return _several(module)
    whole = sum(p.numel() for p in module.parameters()) > half
    return whole and any(isinstance(child, CONTAINERS) and _several(child) for child in module.children())


def _several(module: nn.Module) -> bool:
    """Whether more than one child beside norms has parameters."""
    weighty = [c for c in module.children() if not isinstance(c, NORMS) and any(True for _ in c.parameters())]
    return len(weighty) > 1


@dataclass(frozen=True, slots=True)
class Body:
    """A network's layers, told apart from its classifier.

    Args:
        layers: parameter keys of each layer, from the input on.
        classifier: keys of the last layer.
    """

    layers: tuple[tuple[str, ...], ...]
    classifier: tuple[str, ...]


def body_of(net: nn.Module) -> Body:
    """The layers of a network in the order in which it registers them, and its classifier, the last of them.

    A layer is a convolution or linear layer with its norm, or a whole block of residual networks and transformers.

    Raises:
        ModelError: there is no body apart from a classifier.
    """
    *body, last = ordered_layers(net)
    return Body(tuple(layer.keys for layer in body), last.keys)

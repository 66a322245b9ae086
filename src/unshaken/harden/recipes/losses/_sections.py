"""A network in two parts: a trunk that is passed once, and a section of which there are several copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from typing_extensions import override

from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.harden.engine.layers import ordered_layers


class ReplayedModule(nn.Module):
    """Stands for a module of the trunk: gives what it gave before.

    Args:
        module: what it stands for; its attributes can be read.
        outputs: in the order of the calls; when they are used up, the module itself is called.
    """

    state_attributes: ClassVar[frozenset[str]] = frozenset({"_left"})
    """What a fingerprint of the model leaves out."""

    def __init__(self, module: nn.Module, outputs: Sequence[Any]) -> None:
        super().__init__()
        object.__setattr__(self, "_module", module)
        self._left = list(outputs)

    @override
    def forward(self, *args: Any, **options: Any) -> Any:
        return self._left.pop(0) if self._left else self.__dict__["_module"](*args, **options)

    @override
    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


class Record:
    """What the modules of a trunk gave in one pass.

    Args:
        outputs: module path to its outputs, in the order of the calls.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, list[tuple[Any, list[int]]]] = {}
        self.ended = False

    def passed(self, net: nn.Module, rows: slice) -> dict[str, nn.Module]:
        """Stand-ins for the modules of the trunk, for some rows of the batch.

        Raises:
            ModelError: an output was changed in place afterwards.
        """
        found: dict[str, nn.Module] = {}
        for path, calls in self.outputs.items():
            for value, versions in calls:
                if versions != _versions(value):
                    raise ModelError(
                        f"the output of {path!r} is changed in place later on: let the section begin elsewhere"
                    )
            cut = [tree_map(lambda v: v[rows] if isinstance(v, Tensor) else v, value) for value, _ in calls]
            found[path] = ReplayedModule(net.get_submodule(path), cut)
        return found


@contextmanager
def substituted(net: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Other modules in the place of a network's own, by their paths; put back at the end."""
    own = {path: net.get_submodule(path) for path in modules}
    try:
        for path, module in modules.items():
            _place(net, path, module)
        yield
    finally:
        for path, module in own.items():
            _place(net, path, module)


@contextmanager
def recording(net: nn.Module, trunk: Sequence[str], section: Mapping[str, nn.Module]) -> Iterator[Record]:
    """Keep what modules of the trunk give until the section is reached.

    Args:
        net: passed once inside.
        trunk: paths of modules.
        section: path to the module that is passed in its place.
    """
    record = Record()

    def keep(path: str, value: Any) -> None:
        if not record.ended:
            record.outputs.setdefault(path, []).append((value, _versions(value)))

    def end(*_: Any) -> None:
        record.ended = True

    handles = [
        net.get_submodule(path).register_forward_hook(lambda _m, _i, out, path=path: keep(path, out)) for path in trunk
    ]
    handles += [module.register_forward_pre_hook(end) for module in section.values()]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def section_of(net: nn.Module, named: Sequence[str], share: float) -> tuple[str, ...]:
    """Paths of the last modules of a network, of which copies are to learn.

    Args:
        net: any network.
        named: the paths; none for the last layers of which two copies have at most `share` of all parameters, at least
            the classifier.
        share: in (0, 1].

    Raises:
        ParameterError: there is no module of such a name, or one lies in another.
    """
    modules = dict(net.named_modules())
    for path in named:
        if path not in modules or not path:
            raise ParameterError(f"section: no module {path!r}; {did_you_mean(path, filter(None, modules))}")
        if any(other != path and path.startswith(f"{other}.") for other in named):
            raise ParameterError(f"section: {path!r} lies in another of its modules: name the larger one")
    if named:
        lists = (nn.ModuleList, nn.ModuleDict)  # never called themselves
        parts = (
            [f"{p}.{n}" for n, _ in modules[p].named_children()] if isinstance(modules[p], lists) else [p]
            for p in named
        )
        return tuple(path for part in parts for path in part)
    total = sum(p.numel() for p in net.parameters())
    found: tuple[str, ...] = ()
    spent = 0
    for layer in reversed(ordered_layers(net)):
        spent += 2 * sum(
            net.get_submodule(m).get_parameter(n).numel()
            for m in layer.modules
            for n, _ in net.get_submodule(m).named_parameters()
        )
        if found and spent > share * total:
            break
        found = layer.modules + found
    return found


def trunk_of(net: nn.Module, section: Sequence[str]) -> tuple[str, ...]:
    """Paths of the largest modules outside a section; lists of modules are entered."""

    def below(module: nn.Module, path: str) -> Iterator[str]:
        for name, child in module.named_children():
            at = f"{path}.{name}" if path else name
            if at in section:
                continue
            if isinstance(child, (nn.ModuleList, nn.ModuleDict)) or any(s.startswith(f"{at}.") for s in section):
                yield from below(child, at)
            else:
                yield at

    return tuple(below(net, ""))


def _place(net: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    net.get_submodule(parent)._modules[name] = module


def _versions(value: Any) -> list[int]:
    found: list[int] = []

    def look(part: Any) -> Any:
        if isinstance(part, Tensor) and not part.is_inference():
            found.append(part._version)
        return part

    tree_map(look, value)
    return found


def without_inplace(net: nn.Module) -> None:
    """Activations write to new tensors from now on, so that what came before them can be used twice."""
    for module in net.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]


def dropped(features: Tensor, rate: float, draws: Tensor) -> Tensor:
    """Dropout with given draws: `x [u >= rate] / (1 - rate)`.

    Args:
        features: `[N, F]`.
        rate: share of the features that are dropped, in [0, 1).
        draws: uniform in [0, 1), `[S, N, F]`.

    Returns:
        `[S, N, F]`.
    """
    return torch.where(draws >= rate, features / (1 - rate), 0.0)

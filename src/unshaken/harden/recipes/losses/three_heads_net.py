"""The network with three heads: the original, a copy of its end for changed images, and one for both kinds."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, Literal

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
    """Outputs of the modules of a trunk in one pass.

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

    with ExitStack() as hooks:
        for path in trunk:
            module = net.get_submodule(path)
            hooks.enter_context(module.register_forward_hook(lambda _m, _i, out, path=path: keep(path, out)))
        for module in section.values():
            hooks.enter_context(module.register_forward_pre_hook(end))
        yield record


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

    def note(part: Any) -> Any:
        if isinstance(part, Tensor) and not part.is_inference():
            found.append(part._version)
        return part

    tree_map(note, value)
    return found


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


Mode = Literal["route", "combined", "clean", "unclean", "average", "uncertainty-only"]
HEADS = ("clean", "unclean", "combined")
"""In this order wherever there is one entry a head."""


def entropy(logits: Tensor) -> Tensor:
    """`H(softmax(z)) / log K`, in [0, 1].

    Args:
        logits: `[..., K]`.
    """
    logs = logits.log_softmax(-1)
    return (-(logs.exp() * logs).sum(-1) / math.log(logits.shape[-1])).clamp(0, 1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """`KL(softmax(p) || softmax(q))`, in log space.

    Args:
        p: logits `[N, K]`.
        q: logits `[N, K]`.

    Returns:
        `[N]`, 0 or more.
    """
    one, two = p.log_softmax(-1), q.log_softmax(-1)
    return (one.exp() * (one - two)).sum(-1).clamp(min=0)


def route(logits: Tensor) -> Tensor:
    """The head that each image is sent to: 0 for the clean head, 1 for the unclean one.

    With `k_h = KL(P_combined || P_h)` and `U_h = H(P_h) / log K`: clean where `k_c (1 + U_c) <= k_u (1 + U_u)`.

    Args:
        logits: `[3, N, K]`, heads in the order of `HEADS`.

    Returns:
        int64 `[N]`.
    """
    clean, unclean, combined = logits
    far = [divergence(combined, head) * (1 + entropy(head)) for head in (clean, unclean)]
    return (far[0] > far[1]).long()


def decided(logits: Tensor, mode: Mode) -> Tensor:
    """Combine the logits of the three heads as a mode does.

    Args:
        logits: `[3, N, K]`, heads in the order of `HEADS`.
        mode: `average` gives the logarithm of the mean probability; `route` and `uncertainty-only` the logits of a head
            for each image, the latter of the head of least entropy.

    Returns:
        `[N, K]`.
    """
    if mode in HEADS:
        return logits[HEADS.index(mode)]
    if mode == "average":
        return logits.log_softmax(-1).logsumexp(0) - math.log(len(HEADS))
    chosen = route(logits) if mode == "route" else entropy(logits).argmin(0)
    return logits.gather(0, chosen.view(1, -1, 1).expand(1, -1, logits.shape[2]))[0]


class ThreeHeadsNet(nn.Module):
    """A network whose last section exists three times.

    `net` is the original, frozen and always in evaluation mode; `unclean` and `combined` are copies of the section, in
    the order of `section`.

    In training mode a batch is clean images and then as many changed ones, and what comes out is `[2N, 2, K]`: of the
    clean images the logits of the clean head, of the changed ones those of the unclean head; and of all those of the
    combined one.

    Args:
        net: any network to logits `[N, K]`.
        section: paths of its modules; see `section_of`.
        shared: whether the two copies are one but for the last module of the section.
        mode: what evaluation gives.
    """

    def __init__(
        self, net: nn.Module, section: Sequence[str], *, shared: bool = False, mode: Mode = "combined"
    ) -> None:
        super().__init__()
        for module in net.modules():  # activations write to new tensors: what came before them is used twice
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]
        self.net, self.section, self.mode = net, tuple(section), mode
        self.trunk = trunk_of(net, section)
        own = [net.get_submodule(path) for path in section]
        self.unclean = nn.ModuleList(copy.deepcopy(m).requires_grad_(True) for m in own)
        copies = [*self.unclean[:-1], copy.deepcopy(own[-1]).requires_grad_(True)] if shared else None
        self.combined = nn.ModuleList(copies or (copy.deepcopy(m).requires_grad_(True) for m in own))
        net.requires_grad_(False)
        self.train(self.training)

    @override
    def train(self, mode: bool = True) -> ThreeHeadsNet:
        super().train(mode)
        self.net.eval()
        return self

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return self._both(images)
        if self.mode == "clean":
            return self.clean(images)
        if self.mode in ("unclean", "combined"):
            return self.passed(images, (self.mode,))[0]
        return decided(self.passed(images, HEADS), self.mode)

    def clean(self, images: Tensor) -> Tensor:
        """The logits of the original network."""
        logits: Tensor = self.net(images)
        return logits

    def passed(self, images: Tensor, heads: Sequence[str] = HEADS) -> Tensor:
        """Logits of several heads from one pass of the trunk, `[heads, N, K]`."""
        first, *others = heads
        every = slice(None)
        with (
            substituted(self.net, self._copies(first)),
            recording(self.net, self.trunk, self._modules_of(first)) as record,
        ):
            found = [self.net(images)]
        for head in others:
            with substituted(self.net, self._copies(head) | record.passed(self.net, every)):
                found.append(self.net(images))
        return torch.stack(found)

    def _both(self, images: Tensor) -> Tensor:
        """Logits in training mode: one pass of the trunk, and of each section over the images that it is for."""
        if len(images) % 2:
            raise ParameterError(
                f"three heads learn from clean images and as many changed ones, not from {len(images)}"
            )
        half = len(images) // 2
        with (
            substituted(self.net, self._copies("combined")),
            recording(self.net, self.trunk, self._modules_of("combined")) as record,
        ):
            combined = self.net(images)
        parts = []
        for head, rows in (("clean", slice(half)), ("unclean", slice(half, None))):
            with substituted(self.net, self._copies(head) | record.passed(self.net, rows)):
                parts.append(self.net(images[rows]))
        return torch.stack([torch.cat(parts), combined], 1)

    def _modules_of(self, head: str) -> dict[str, nn.Module]:
        copies = {"unclean": self.unclean, "combined": self.combined}.get(head)
        modules = [self.net.get_submodule(path) for path in self.section] if copies is None else list(copies)
        return dict(zip(self.section, modules, strict=True))

    def _copies(self, head: str) -> dict[str, nn.Module]:
        return {} if head == "clean" else self._modules_of(head)


class AllHeads(nn.Module):
    """All heads of a network with three, in the place of its mode.

    Args:
        net: shared, not copied.
    """

    def __init__(self, net: ThreeHeadsNet) -> None:
        super().__init__()
        self.net = net

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.net.passed(images)

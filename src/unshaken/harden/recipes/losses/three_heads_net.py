"""The network with three heads: the original, a copy of its end for changed images, and one for both kinds."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.losses._sections import recording, section_of, substituted, trunk_of, without_inplace

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
    """What a mode makes of the three heads.

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
        without_inplace(net)
        self.net, self.section, self.mode = net, tuple(section), mode
        self.trunk = trunk_of(net, section)
        own = [net.get_submodule(path) for path in section]
        self.unclean = nn.ModuleList(copy.deepcopy(m).requires_grad_(True) for m in own)
        kept = [*self.unclean[:-1], copy.deepcopy(own[-1]).requires_grad_(True)] if shared else None
        self.combined = nn.ModuleList(kept or (copy.deepcopy(m).requires_grad_(True) for m in own))
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
        """The original's logits."""
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
        """See the class: one pass of the trunk, and of each section over the images that it is for."""
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


def three_heads_net(net: nn.Module, section: Sequence[str], share: float, *, shared: bool, mode: Mode) -> ThreeHeadsNet:
    """The network around another, its section named or chosen by the share of parameters that may learn."""
    if isinstance(net, ThreeHeadsNet):
        return net
    return ThreeHeadsNet(net, section_of(net, section, share), shared=shared, mode=mode)

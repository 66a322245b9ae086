"""`UnitHead`: features of one length before a linear layer of unit rows, so that logits are scaled cosines."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

Constraint = Literal["project", "reparam"]
_LEAST = 1e-12
"""Length below which a vector counts as zero and stays short."""


class UnitLength(nn.Module):
    """Brings features to one length: `z = s h / ||h||`.

    Args:
        scale: s, above 0.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.normalize(features, dim=1, eps=_LEAST)


class UnitRows(nn.Module):
    """Gives each row of a weight the length 1: `w = v / ||v||`."""

    @override
    def forward(self, weight: Tensor) -> Tensor:
        return F.normalize(weight, dim=1, eps=_LEAST)


class UnitHead(nn.Sequential):
    """A head whose logits are `s cos(h, w_c)`: unit features, unit class weights, a fixed scale, no bias.

    The scale stands on the features alone, so that what goes into the linear layer are the vectors z of which
    prototypes are means, and whoever reads the last linear layer of a network sees an ordinary one.

    Args:
        features: numbers D of a feature.
        classes: number of logits K.
        scale: s, above 0.
        constraint: `project` the weights after each optimizer step (see `project`), or learn v of `w = v / ||v||`.
    """

    def __init__(self, features: int, classes: int, scale: float = 10.0, constraint: Constraint = "project") -> None:
        linear = nn.Linear(features, classes, bias=False)
        super().__init__(UnitLength(scale), linear)
        if constraint == "reparam":
            parametrize.register_parametrization(linear, "weight", UnitRows())
        else:
            self.project()

    @property
    def scale(self) -> float:
        """The length s of the features."""
        return cast(UnitLength, self[0]).scale

    @property
    def weight(self) -> Tensor:
        """The directions of the classes, `[K, D]`."""
        return cast(Tensor, self[1].weight)

    @torch.no_grad()
    def project(self) -> None:
        """Bring each class weight back to length 1; under `reparam` it has that length anyway."""
        if not parametrize.is_parametrized(self[1]):
            self.weight.copy_(F.normalize(self.weight, dim=1, eps=_LEAST))


def find_unit_head(net: nn.Module) -> UnitHead | None:
    """The unit head of a network; None where it has none."""
    return next((m for m in net.modules() if isinstance(m, UnitHead)), None)

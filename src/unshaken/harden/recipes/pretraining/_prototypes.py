"""A projection head that ends in prototypes: directions that embeddings are compared with."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override


class PrototypeHead(nn.Module):
    """From features `[N, D]` to the embedding z, of length 1, and its cosines with K prototypes: `[N, d + K]`.

    Prototypes are scaled to length 1 by `normalise` after each optimizer step, not in the forward pass.

    Args:
        width: D.
        hidden: units of the hidden layer; 0 for one linear layer alone.
        embedded: d.
        prototypes: K.
        norm: whether batch norm follows the hidden layer.
    """

    def __init__(self, width: int, *, hidden: int, embedded: int, prototypes: int, norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(hidden or width, embedded)]
        if hidden:
            between = [nn.BatchNorm1d(hidden)] if norm else []
            layers = [nn.Linear(width, hidden), *between, nn.ReLU(inplace=True), *layers]
        self.project = nn.Sequential(*layers)
        self.embedded = embedded
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, embedded), dim=1))
        self.frozen = False

    @override
    def forward(self, features: Tensor) -> Tensor:
        embedding = F.normalize(cast(Tensor, self.project(features)).float(), dim=1)
        weight = self.prototypes.detach() + 0 * self.prototypes if self.frozen else self.prototypes
        with torch.autocast(features.device.type, enabled=False):
            return torch.cat([embedding, embedding @ weight.float().T], 1)

    @torch.no_grad()
    def normalise(self) -> None:
        """Scale the prototypes to length 1."""
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))

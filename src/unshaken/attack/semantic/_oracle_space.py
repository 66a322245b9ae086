"""`OracleSpace`: a search space whose images are shown to oracles; all that the samples of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshaken.attack.semantic._committee import Committee, Vote
from unshaken.attack.semantic._search_space import SearchSpace
from unshaken.core.classifier import Classifier
from unshaken.core.oracle import Oracle


@dataclass(frozen=True, slots=True, eq=False)
class Tools:
    """What is loaded once a run.

    Args:
        space: what is changed.
        oracles: each with the model's classes.
        held_out: likewise.
        mask: bool, of one code: the coordinates that are changed; None for all.
    """

    space: SearchSpace
    oracles: Sequence[Classifier]
    held_out: Sequence[Classifier]
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Models from memory, in the place of those that SPECs name.

    Args:
        oracles: in evaluation mode.
        held_out: likewise.
        generator: likewise; None for that of the parameters.
    """

    oracles: tuple[Classifier, ...] = ()
    held_out: tuple[Classifier, ...] = ()
    generator: nn.Module | None = None


class OracleSpace:
    """A search space and its oracles, whose passes are counted.

    Args:
        tools: what was loaded.
        oracle: of the run; the oracles count beside it.
        vote: see `approved`.
        min_confidence: likewise.
    """

    def __init__(self, tools: Tools, oracle: Oracle, vote: Vote, min_confidence: float) -> None:
        self.space, self.mask = tools.space, tools.mask
        self.committee, self.held_out = (
            Committee([oracle.beside(m) for m in models], vote, min_confidence)
            for models in (tools.oracles, tools.held_out)
        )

    @torch.no_grad()
    def show(self, codes: Tensor, clean: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images of codes as they are stored, in 8 bits, and whether the oracles see the labels; never in NaN.

        Args:
            codes: `[N, ...]`.
            clean: the unchanged images.
            labels: int64 `[N]`.
        """
        x = (self.space.render(codes, clean) * 255).round() / 255
        good, rows = torch.zeros_like(labels, dtype=torch.bool), finite(x).nonzero().flatten()
        return x, good.index_put((rows,), self.committee.approves(x[rows], labels[rows]))

    def slope(self, gradient: Tensor, codes: Tensor, clean: Tensor) -> Tensor:
        """The gradient by codes of a loss less the space's penalty; rounding is passed straight through.

        Args:
            gradient: of the loss by the images.
            codes: where.
            clean: the unchanged images.
        """
        with torch.enable_grad():
            z = codes.detach().requires_grad_(True)
            made = self.space.render(z, clean)
            penalty = self.space.penalty(made)
            value = (made * gradient).sum() - (0 if penalty is None else penalty.sum())
            (slope,) = torch.autograd.grad(value, z)
        return slope if self.mask is None else slope * self.mask


def finite(x: Tensor) -> Tensor:
    """Bool `[N]`: whether all values of a row are finite numbers."""
    return x.flatten(1).isfinite().all(1)

"""Linear bounds (CROWN): functionals of a layer's output, carried back to the image through linear relaxations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds, halves, interval_margins, reach, step
from unshaken.certify.engine.layers import Affine, Chain, MaxPool, ReLU, Scale, inner

BUDGET = 2**20
"""Values of the largest tensor that is held for a chunk of functionals: 8 MiB in float64, for the sake of caches."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """`lower x <= relu(x) <= upper x + offset` between the bounds of x, one each a sample and unit.

    Args:
        lower: 0 or 1, whichever leaves the smaller area.
        upper: `u / (u - l)` for a unit that may be on or off.
        offset: `-l u / (u - l)` likewise.
    """

    lower: Tensor
    upper: Tensor
    offset: Tensor

    @classmethod
    def of(cls, bounds: Bounds) -> Slopes:
        """The relaxation between bounds."""
        low, high = bounds
        on, open_ = low >= 0, (low < 0) & (high > 0)
        slope = torch.where(open_, high / (high - low), on.to(low))
        lower = torch.where(open_, (high > -low).to(low), on.to(low))
        return cls(lower, slope, torch.where(open_, -low * slope, 0))

    def back(self, rows: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """A lower bound of functionals of the outputs: functionals of the inputs, and a constant `[R]`."""
        positive = rows.clamp_min(0)
        negative = rows - positive
        return positive * self.lower[owner] + negative * self.upper[owner], inner(negative, self.offset[owner])


@dataclass(frozen=True, eq=False)
class Peaks:
    """`x_j <= max(x) <= m`, where j has the largest lower bound; or `max(x) = x_j` where j exceeds all others.

    Args:
        place: j of each window, in the flat input, int64 `[N, *target]`.
        sure: where j exceeds all others.
        most: m, the largest upper bound of the window.
    """

    place: Tensor
    sure: Tensor
    most: Tensor

    @classmethod
    def of(cls, layer: MaxPool, bounds: Bounds) -> Peaks:
        """The relaxation between bounds."""
        members = layer.members().to(bounds[0].device)
        low, high = (v.flatten(1)[:, members].masked_fill(members < 0, -torch.inf) for v in bounds)
        best, at = low.max(-1)
        place = members.expand_as(low).gather(-1, at[..., None]).squeeze(-1)
        rivals = high.scatter(-1, at[..., None], -torch.inf).amax(-1)
        return cls(place, best >= rivals, high.amax(-1))

    def back(self, rows: Tensor, owner: Tensor, source: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Bounds carried back through the layer; see `Slopes`."""
        through = torch.where(self.sure[owner], rows, rows.clamp_min(0))
        constant = inner(rows - through, self.most[owner])
        flat = rows.new_zeros(len(rows), source[0] * source[1] * source[2])
        flat.scatter_add_(1, self.place[owner].flatten(1), through.flatten(1))
        return flat.view(-1, *source), constant


class LinearBounds:
    """Linear bounds of a chain over a box a sample.

    Args:
        chain: the classifier.
        bounds: of its images, `[N, C, H, W]` each.
        refine: bound the units that may be on or off by linear bounds too, layer by layer (CROWN); else by intervals
            alone (CROWN-IBP).
        limit: functionals carried back at a time, at most.
    """

    def __init__(self, chain: Chain, bounds: Bounds, *, refine: bool = True, limit: int = 256) -> None:
        self.chain, self.bounds, self.refine = chain, [bounds], refine
        self.chunk = max(1, min(limit, BUDGET // chain.largest))
        self.relaxed: list[Slopes | Peaks | Tensor | None] = []
        linear, bent = 0, False
        for k, layer in enumerate(chain.layers):
            inside = self.bounds[-1]
            if isinstance(layer, ReLU | MaxPool):
                if refine and (bent or linear > 1):  # intervals are exact behind a single linear layer
                    inside = self.bounds[-1] = self.refined(k, inside, every=isinstance(layer, MaxPool))
                self.relaxed.append(Slopes.of(inside) if isinstance(layer, ReLU) else Peaks.of(layer, inside))
                bent = True
            elif isinstance(layer, Affine):
                self.relaxed.append(layer.rounding(reach(inside)))
                linear += not isinstance(layer, Scale)
            else:
                self.relaxed.append(None)
            self.bounds.append(step(layer, self.bounds[-1]))

    def refined(self, k: int, bounds: Bounds, every: bool) -> Bounds:
        """Bounds of layer k's inputs, each the better of the interval's and the linear one.

        Args:
            k: place of the layer.
            bounds: of its inputs so far.
            every: all units, not only those that may be on or off.
        """
        low, high = (v.flatten(1).clone() for v in bounds)
        wanted = (low < high) if every else (low < 0) & (high > 0)
        owner, unit = wanted.nonzero(as_tuple=True)
        for side, values in ((1.0, low), (-1.0, high)):
            for at in torch.split(torch.arange(len(owner), device=owner.device), self.chunk):
                rows = low.new_zeros(len(at), low.shape[1])
                rows[torch.arange(len(at), device=at.device), unit[at]] = side
                found = side * self.least(rows.view(-1, *bounds[0].shape[1:]), owner[at], k)
                old = values[owner[at], unit[at]]
                values[owner[at], unit[at]] = torch.maximum(old, found) if side > 0 else torch.minimum(old, found)
        return low.view_as(bounds[0]), high.view_as(bounds[1])

    def least(self, rows: Tensor, owner: Tensor, top: int) -> Tensor:
        """Lower bounds of functionals of the input of layer `top`.

        Args:
            rows: `[R, ...]`.
            owner: the sample that each belongs to, int64 `[R]`.
            top: place of the layer; the number of layers for the logits.
        """
        total = rows.new_zeros(len(rows))
        for k in range(top - 1, -1, -1):
            layer, relaxed = self.chain.layers[k], self.relaxed[k]
            if isinstance(layer, Affine):
                if isinstance(relaxed, Tensor):
                    total = total + inner(rows, layer.bias) - inner(rows.abs(), relaxed[owner])
                rows = layer.pull(rows)
            elif isinstance(relaxed, Slopes):
                rows, constant = relaxed.back(rows, owner)
                total = total + constant
            elif isinstance(relaxed, Peaks):
                rows, constant = relaxed.back(rows, owner, layer.source)
                total = total + constant
            else:
                rows = rows.reshape(-1, *layer.source)
        centre, radius = halves(self.bounds[0])
        return total + inner(rows, centre[owner]) - inner(rows.abs(), radius[owner])

    def margins(self, labels: Tensor) -> Tensor:
        """Lower bounds of `z_y - z_j`, `[N, K]`, inf at y: the better of the linear ones and the intervals'.

        Args:
            labels: y, int64 `[N]`.
        """
        n, k = len(labels), self.chain.classes
        one_hot = torch.eye(k, dtype=torch.float64, device=labels.device)
        rows = (one_hot[labels][:, None] - one_hot).flatten(0, 1)
        owner = torch.arange(n, device=labels.device).repeat_interleave(k)
        top = len(self.chain.layers)
        parts = [
            self.least(r, o, top)
            for r, o in zip(torch.split(rows, self.chunk), torch.split(owner, self.chunk), strict=True)
        ]
        found = torch.cat(parts).view(n, k)
        lower, upper = self.bounds[-1]
        own = lower.gather(1, labels[:, None]) - upper
        found = torch.maximum(found, torch.maximum(own, interval_margins(self.chain, self.bounds[0], labels)))
        return found.scatter(1, labels[:, None], torch.inf)

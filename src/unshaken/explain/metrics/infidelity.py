"""Infidelity: by how much a map misses the change of the score that it foretells."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.explain.engine.attribution import Score
from unshaken.explain.engine.probed_metric import MapTarget, Probes, RemovalMetric


@register("infidelity", reference="Yeh et al. 2019, arXiv:1901.09392", group="metric")
class Infidelity(RemovalMetric):
    """Infidelity: the mean over changes of the image of `(map's expected fall of the score - its fall)^2`.

    Lower is better. The changes are `square`: a random square is removed, and the map's sum over it is expected, which
    is right for maps of shares such as integrated gradients; or `gaussian`: noise `I` is subtracted from all channels,
    and `sum(I * map)` is expected, which is right for gradients summed over channels. With `scaled` the expected falls
    are multiplied by the constant that fits the falls best, as in the publication, so that the unit of a map does not
    count; a constant map of 0 then expects no fall.
    """

    higher: ClassVar[bool] = False

    score: Score = Field(default="logit", description="score that is looked at: logit, probability or log-probability")
    perturbation: Literal["square", "gaussian"] = Field(
        default="square", description="change of the image: square or gaussian"
    )
    side: float = Field(default=0.2, gt=0, le=1, description="side of a square, as a share of the image's short side")
    sigma: PositiveFloat = Field(default=0.05, description="deviation of the noise, in [0, 1] pixel units")
    samples: PositiveInt = Field(default=100, description="number of changes")
    scaled: bool = Field(default=True, description="multiply the expected falls by the constant that fits best")

    @override
    def count(self, height: int, width: int) -> int:
        return 1 + self.samples

    @override
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        square = self.perturbation == "square"
        changes = []
        for one in number.T:
            if square:
                changes.append(self._squares(target, one))
            else:  # the same in all channels
                noise = target.rng.fold(one).normal(*target.maps.shape[1:])
                changes.append(self.sigma * noise.to(target.maps))
        found = torch.stack(changes, 1) * (number > 0)[:, :, None, None]
        expected = torch.einsum("nhw,nqhw->nq", widen(target.maps), widen(found))
        amount, images = found[:, :, None], target.images[:, None]
        if square:
            return Probes(torch.where(amount > 0, target.removed[:, None], images), expected)
        return Probes(images - amount, expected)

    def _squares(self, target: MapTarget, number: Tensor) -> Tensor:
        """1 in a square at a random place, else 0, `[N, H, W]`."""
        height, width = target.maps.shape[1:]
        side = max(1, round(self.side * min(height, width)))
        drawn = target.rng.fold(number).fresh(2)
        rows, columns = torch.arange(height, device=drawn.device), torch.arange(width, device=drawn.device)
        top, left = ((drawn[:, i : i + 1] * (n - side + 1)).long() for i, n in enumerate((height, width)))
        down, across = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
        return (down[:, :, None] & across[:, None]).to(target.maps)

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        falls, expected = scores[:, :1] - scores[:, 1:], expected[:, 1:]
        if self.scaled:
            expected = expected * best_scale(expected, falls)[:, None]
        return (expected - falls).square().mean(1)


def best_scale(expected: Tensor, falls: Tensor) -> Tensor:
    """The constant beta that makes `mean((beta expected - falls)^2)` least: `mean(expected falls) / mean(expected^2)`.

    Args:
        expected: `[N, T]`.
        falls: `[N, T]`.

    Returns:
        `[N]`; 0 where nothing is expected.
    """
    size = expected.square().sum(1)
    return torch.where(size > 0, (expected * falls).sum(1) / size.clamp(min=torch.finfo(size.dtype).tiny), 0.0)

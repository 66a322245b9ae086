"""Max-sensitivity: how far the map moves when the image hardly does."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.metric import Case, MapMetric, MapScores


@register("max-sensitivity", reference="Yeh et al. 2019, arXiv:1901.09392", group="metric")
class MaxSensitivity(MapMetric):
    """Max-sensitivity: the largest `|map(x + d) - map(x)| / |map(x)|` over random d with entries in [-radius, radius].

    Lower is better. The changed image is cut to [0, 1], the class explained stays the same, and a method that draws
    draws the same again. NaN for a map of zeros.
    """

    higher: ClassVar[bool] = False

    radius: PositiveFloat = Field(default=0.02, description="largest change of a pixel, in [0, 1] units")
    samples: PositiveInt = Field(default=10, description="number of changed images")

    @override
    def judge(self, case: Case) -> MapScores:
        rng = SampleRng.of(case.seed, f"explain {self.info.name}", case.ids).to(case.images.device)
        maps = widen(case.maps.flatten(1))
        size, most = maps.norm(dim=1), torch.zeros(len(maps), dtype=widest_float(maps.device), device=maps.device)
        forwards = torch.zeros(len(maps), dtype=torch.int64)
        backwards = forwards.clone()
        for number in range(self.samples):
            noise = rng.fold(number).uniform(*case.images.shape[1:], low=-self.radius, high=self.radius)
            found = case.again((case.images + noise.to(case.images)).clamp(0, 1), None, None)
            most = torch.maximum(most, (widen(found.maps.flatten(1)) - maps).norm(dim=1))
            forwards += found.forwards.cpu()
            backwards += found.backwards.cpu()
        value = torch.where(size > 0, most / size, torch.nan)
        return MapScores(value.cpu(), forwards, backwards)

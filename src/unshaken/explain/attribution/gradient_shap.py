"""GradientSHAP: integrated gradients from random baselines, at random points, under noise."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.averaged_gradients import AveragedGradients
from unshaken.explain.engine.reduce import Channels
from unshaken.explain.engine.target import Target


@register("gradient-shap", reference="Lundberg & Lee 2017, arXiv:1705.07874")
class GradientShap(AveragedGradients):
    """GradientSHAP: mean of `(x - b) grad z_c` over random baselines b and points on the way from them.

    Baselines are a uniform colour each, drawn anew for every sample and point, as there is no further data.
    """

    channels: Channels = Field("sum", description="how channels become one value: mean-abs, max-abs or sum")
    samples: PositiveInt = Field(50, description="number of points")
    sigma: NonNegativeFloat = Field(0.0, description="deviation of the noise added to the image, in [0, 1] pixel units")

    @property
    def count(self) -> int:
        """The points."""
        return self.samples

    def _drawn(self, target: Target, number: Tensor, rng: SampleRng) -> tuple[Tensor, Tensor, Tensor]:
        """Baselines, noisy images `[N, Q, C, H, W]`, and places on the way between, `[N, Q, 1, 1, 1]`."""
        images, found = target.images, []
        for q in range(number.shape[1]):
            own = rng.fold(number[:, q])
            colour = own.fold("colour").uniform(images.shape[1], 1, 1).to(images).expand_as(images)
            noisy = images
            if self.sigma:
                noisy = images + self.sigma * own.fold("noise").normal(*images.shape[1:]).to(images)
            found.append((colour, noisy, own.fold("place").uniform(1, 1, 1).to(images)))
        baselines, noisy, places = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        return baselines, noisy, places

    def points(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """`b + t (x - b)`, t uniform."""
        baselines, noisy, places = self._drawn(target, number, rng)
        return baselines + places * (noisy - baselines)

    def weights(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """`(x - b)`, for the mean."""
        baselines, noisy, _ = self._drawn(target, number, rng)
        return (noisy - baselines) / self.samples

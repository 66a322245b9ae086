"""SmoothGrad: the mean of gradients under noise."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Target
from unshaken.explain.engine.gradients import AveragedGradients, Terms


@register("smoothgrad", reference="Smilkov et al. 2017, arXiv:1706.03825")
class SmoothGrad(AveragedGradients):
    """SmoothGrad: mean gradient over copies of the image with Gaussian noise."""

    samples: PositiveInt = Field(default=50, description="number of noisy images")
    sigma: NonNegativeFloat = Field(default=0.15, description="deviation of the noise, as a share of the image's range")

    @property
    @override
    def count(self) -> int:
        return self.samples

    @override
    def terms(self, target: Target, number: Tensor, rng: SampleRng) -> Terms:
        """The points `x + sigma (max x - min x) N(0, I)`, not clipped."""
        images = target.images
        spread = images.flatten(1).amax(1) - images.flatten(1).amin(1)
        noise = rng.each(number).noise(*images.shape[1:]).view(*number.shape, *images.shape[1:]).to(images)
        return Terms(images[:, None] + self.sigma * spread.view(-1, 1, 1, 1, 1) * noise)

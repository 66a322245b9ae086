"""`RandomPaths`: the mean of gradients on straight ways from random baselines to the image."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.rng import SampleRng
from unshaken.explain.engine.averaged_gradients import AveragedGradients
from unshaken.explain.engine.reduce import Channels
from unshaken.explain.engine.target import Target


class RandomPaths(AveragedGradients):
    """Base class of `E (x - b) grad z_c(b + t (x - b))`, t uniform in [0, 1]. A subclass draws the baselines b."""

    channels: Channels = Field("sum", description="how channels become one value: mean-abs, max-abs or sum")
    samples: PositiveInt = Field(50, description="number of points")
    sigma: NonNegativeFloat = Field(0.0, description="deviation of the noise added to the image, in [0, 1] pixel units")

    @abstractmethod
    def baseline(self, images: Tensor, rng: SampleRng) -> Tensor:
        """One baseline for each image, `[M, C, H, W]`.

        Args:
            images: `[M, C, H, W]`.
            rng: a stream for each.
        """

    @property
    @override
    def count(self) -> int:
        return self.samples

    def _drawn(self, target: Target, number: Tensor, rng: SampleRng) -> tuple[Tensor, Tensor, Tensor]:
        """Baselines, noisy images `[N, Q, C, H, W]`, and places on the way between, `[N, Q, 1, 1, 1]`."""
        n, q = number.shape
        own = rng.each(number)
        images = noisy = target.images.repeat_interleave(q, 0)
        if self.sigma:
            noisy = images + self.sigma * own.fold("noise").noise(*images.shape[1:]).to(images)
        parts = (self.baseline(images, own), noisy, own.fold("place").fresh(1)[:, :, None, None].to(images))
        baselines, noisy, places = (part.view(n, q, *part.shape[1:]) for part in parts)
        return baselines, noisy, places

    @override
    def points(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """`b + t (x - b)`."""
        baselines, noisy, places = self._drawn(target, number, rng)
        return baselines + places * (noisy - baselines)

    @override
    def weights(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        baselines, noisy, _ = self._drawn(target, number, rng)
        return (noisy - baselines) / self.samples

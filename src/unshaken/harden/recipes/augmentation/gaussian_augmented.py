"""Gaussian augmentation: learn from images with the noise that a smoothed classifier will be asked about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.stress.corruptions.gaussian_noise import gaussian_noise, unit_normal


def with_noise(images: Tensor, sigma: float, rng: SampleRng) -> Tensor:
    """`x + sigma n` with n standard normal, not clipped.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sigma: standard deviation, in [0, 1] pixel units.
        rng: one stream a sample; the same streams give the same noise.

    Returns:
        The same shape, any value; `images` is left as it is.
    """
    return gaussian_noise(images, sigma, unit_normal(rng, *images.shape[1:]).to(images))


@register("gaussian-augmented", reference="Cohen et al. 2019, arXiv:1902.02918")
class GaussianAugmented(Recipe):
    """Gaussian augmentation for randomised smoothing: trains on `x + N(0, sigma^2 I)`.

    The noise is not clipped, for the certificate asks about noise that is not; `noise` clips, and is for robustness
    against noisy photos. Certify with the same `sigma`. Give it after recipes that crop, mirror or mix images, and
    with `select=last`: held-out accuracy is that of images without noise.
    """

    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "a search in [0, 1] would clip the noise; take smooth-adv, which adds the noise after the search",
    }

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")

    @override
    def augment(self, step: Step) -> None:
        step.images = with_noise(step.images, self.sigma, step.rng.fold(self.info.name))

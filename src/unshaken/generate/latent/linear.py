"""`LinearGenerator`: images as a linear function of a code, such as their principal components."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import move, widen
from unshaken.core.errors import DataError
from unshaken.generate.latent.directions import with_signs
from unshaken.generate.latent.latent_generator import LatentGenerator


class LinearGenerator(LatentGenerator):
    """`G(w) = m + W w`; the code of an image is that of least squares.

    Args:
        weight: W, `[D, d]`, float32.
        mean: m, `[D]`.
        image: channels, height and width, D in all.
    """

    def __init__(self, weight: Tensor, mean: Tensor, image: tuple[int, int, int]) -> None:
        super().__init__()
        self._image = image
        self._inverse = torch.linalg.pinv(weight.cpu().double())  # no buffer: some devices have no float64
        for name, value in {"weight": weight, "mean": mean}.items():
            self.register_buffer(name, value)

    weight: Tensor
    mean: Tensor

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def latents(self) -> int:
        return self.weight.shape[1]

    @property
    @override
    def name(self) -> str:
        return "of principal components"

    @override
    def features(self, codes: Tensor) -> Tensor:
        return (codes @ self.weight.T + self.mean).view(-1, *self._image)

    @override
    def encode(self, images: Tensor) -> Tensor:
        inverse = move(self._inverse, images.device)
        return ((widen(images.flatten(1)) - self.mean) @ inverse.T).to(self.weight)

    @override
    def first_weight(self) -> Tensor:
        return self.weight


def fit_linear_generator(images: Tensor, components: int) -> LinearGenerator:
    """Principal components of images, scaled so that the codes of these images have unit deviation.

    Args:
        images: float `[N, C, H, W]` in [0, 1]; their order does not matter.
        components: d at most; fewer where there are few images.

    Raises:
        DataError: there are fewer than two images, or all are alike.
    """
    x = widen(images.flatten(1))
    mean = x.mean(0)
    if len(x) < 2 or bool((x == x[:1]).all()):
        raise DataError(f"principal components of {len(x)} images, which do not differ, do not exist: give more images")
    _, values, directions = torch.linalg.svd(x - mean, full_matrices=False)
    kept = int((values > 1e-6 * values[0]).sum())
    d = max(1, min(components, kept, len(x) - 1))
    weight = (with_signs(directions[:d]) * (values[:d] / (len(x) - 1) ** 0.5)[:, None]).T
    return LinearGenerator(
        weight.float().contiguous(), mean.float(), (images.shape[1], images.shape[2], images.shape[3])
    )

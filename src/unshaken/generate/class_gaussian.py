"""Gaussians of principal components for each class, one or a mixture: a generator that is fitted in seconds."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.imports import need
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Generator, GeneratorSettings


@register("class-gaussian", reference="Tipping & Bishop 1999, Neural Computation 11(2)")
class ClassGaussianSettings(GeneratorSettings):
    """Gaussians in the principal components of each class, or of each cluster of a class: fast, blurred, well known.

    The guidance w is the inverse of a temperature: codes are drawn with deviation 1/w.
    """

    components: PositiveInt = Field(
        default=40, description="principal components of a cluster; fewer where it has few images"
    )
    clusters: PositiveInt = Field(
        default=1, description="clusters of a class, by k-means; fewer where it has few images"
    )


class ClassGaussian(Generator):
    """`x = m_j + B_j z` with z normal, for a cluster j of the class drawn by its share of images.

    Args:
        mean: m, float32 `[J, D]`, of pixels in [-1, 1].
        basis: B, `[J, Q, D]`: principal directions times their deviations, zeros where there are fewer than Q.
        share: of a cluster in its class, `[J]`.
        owner: class of each cluster, int64 `[J]`.
        image: channels, height and width.
        settings: what was fitted.
    """

    kind: ClassVar[str] = "class-gaussian"

    def __init__(
        self, mean: Tensor, basis: Tensor, share: Tensor, owner: Tensor, image: tuple[int, int, int],
        settings: ClassGaussianSettings,
    ) -> None:  # fmt: skip
        super().__init__()
        self.settings, self._image = settings, image
        for name, value in {"mean": mean, "basis": basis, "share": share, "owner": owner}.items():
            self.register_buffer(name, value)

    mean: Tensor
    basis: Tensor
    share: Tensor
    owner: Tensor

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def classes(self) -> int:
        return max(0, int(self.owner.max()) + 1)

    @override
    def sample(
        self, n: int, *, steps: int | None = None, seed: int = 0, first: int = 0, labels: Tensor | None = None,
        guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        self._check(steps, guidance)

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            place = rng.fold("cluster").uniform()  # a cluster of the class by the clusters' shares, or of any class
            fits = widen(self._fits(chosen, len(place))) * widen(self.share)
            ends = (fits / fits.sum(1, keepdim=True)).cumsum(1)
            cluster = (widen(place)[:, None] >= ends).sum(1).clamp(max=len(self.share) - 1)
            return self._decoded(cluster, rng.fold("code").normal(self.basis.shape[1]) / guidance)

        return self._sampled(n, draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    @override
    def vary(
        self, images: Tensor, strength: float, *, steps: int | None = None, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """See `Generator.vary`: the code z of an image becomes `sqrt(1 - s^2) z + s n`, n normal of deviation 1/w.

        The code is that of the nearest cluster of the class, or of all clusters without labels.
        """
        self._check(steps, guidance)
        self._check_variation(images, strength)

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            x = 2 * images[rows].to(self.mean).flatten(1) - 1
            cluster = self._nearest(x, chosen)
            noise = rng.fold("code").normal(self.basis.shape[1]) / guidance
            return self._decoded(cluster, (1 - strength**2) ** 0.5 * self._code(x, cluster) + strength * noise)

        return self._sampled(len(images), draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    def _check(self, steps: int | None, guidance: float) -> None:
        if steps is not None:
            raise ParameterError(f"steps={steps}: a {self.kind} model draws in one step; leave steps out")
        if not 0 < guidance < float("inf"):
            raise ParameterError(f"guidance={guidance:g} must be above 0 here: codes have deviation 1 / guidance")

    def _nearest(self, x: Tensor, labels: Tensor | None) -> Tensor:
        distance = torch.stack([(x - m).square().sum(1) for m in self.mean], 1)
        return distance.masked_fill(~self._fits(labels, len(x)), float("inf")).argmin(1)

    def _fits(self, labels: Tensor | None, n: int) -> Tensor:
        if labels is None:
            return torch.ones(n, len(self.owner), dtype=torch.bool, device=self.owner.device)
        return labels[:, None] == self.owner

    def _code(self, x: Tensor, cluster: Tensor) -> Tensor:
        code = torch.empty(len(x), self.basis.shape[1], device=x.device)
        for j in sorted({*cluster.tolist()}):
            rows = cluster == j
            variance = self.basis[j].square().sum(1)
            projected = (x[rows] - self.mean[j]) @ self.basis[j].T
            code[rows] = torch.where(variance > 0, projected / variance.clamp(min=1e-12), 0)
        return code

    def _decoded(self, cluster: Tensor, code: Tensor) -> Tensor:
        """Pixels in [-1, 1], not clipped; in float64, so that 8-bit images do not depend on the batch."""
        found = torch.empty(len(code), self.mean.shape[1], dtype=widest_float(code.device), device=code.device)
        for j in sorted({*cluster.tolist()}):
            rows = cluster == j
            found[rows] = widen(self.mean[j]) + widen(code[rows]) @ widen(self.basis[j])
        return found.float().view(-1, *self.image)


def fit_class_gaussian(
    images: Tensor, labels: Tensor | None = None, settings: ClassGaussianSettings | None = None, *, seed: int = 0
) -> ClassGaussian:
    """Fit a Gaussian to each class, or to each cluster of it.

    Args:
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`, from 0, no class without images; None for one class that has no number.
        settings: components and clusters.
        seed: of k-means.

    Raises:
        DataError: images are no bytes, or a class has fewer than two.
    """
    settings = ClassGaussianSettings() if settings is None else settings
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise DataError(f"images to learn from must be uint8 [N, C, H, W], not {images.dtype} of {tuple(images.shape)}")
    for name in settings.model_fields_set & {"components", "clusters"}:
        if (count := getattr(settings, name)) > len(images):
            raise ParameterError(f"class-gaussian: {name}={count} is more than the {len(images)} images: give fewer")
    x = widen(images.flatten(1)) / 127.5 - 1
    given = torch.full((len(x),), -1) if labels is None else labels
    found = []
    for k in [-1] if labels is None else range(int(given.max()) + 1):
        own = x[given == k]
        if len(own) < 2:
            raise DataError(f"class {k} has {len(own)} images: two or more are needed; give it more, or leave it out")
        count = min(settings.clusters, len(own) // 2)
        found += [(k, part, len(part) / len(own)) for part in _clusters(own, count, seed)]
    fitted = [_principal(part, settings.components) for _, part, _ in found]
    most = max(len(basis) for _, basis in fitted)
    padded = [torch.cat([b, b.new_zeros(most - len(b), b.shape[1])]) for _, b in fitted]
    return ClassGaussian(
        torch.stack([m for m, _ in fitted]).float(), torch.stack(padded).float(),
        torch.tensor([share for *_, share in found]), torch.tensor([k for k, *_ in found]),
        (images.shape[1], images.shape[2], images.shape[3]), settings,
    ).eval()  # fmt: skip


def _clusters(x: Tensor, count: int, seed: int) -> list[Tensor]:
    if count == 1:
        return [x]
    cluster: Any = need("sklearn.cluster", "scikit-learn", "labels", "more than one cluster of a class")
    place = cluster.KMeans(count, n_init=1, random_state=seed).fit_predict(x.float().numpy())
    return [x[torch.from_numpy(place == j)] for j in np.unique(place).tolist()]


def _principal(x: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """The mean, and principal directions times the deviation along each `[q, D]`."""
    mean = x.mean(0)
    _, values, directions = torch.linalg.svd(x - mean, full_matrices=False)
    q = max(1, min(components, len(x) - 1))
    return mean, directions[:q] * (values[:q] / max(1, len(x) - 1) ** 0.5)[:, None]

"""Directions of a code along which a generator's images change, found without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.rng import SampleRng
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite

DRAWN = 1024
"""Codes drawn to find directions by features."""
PART = 128
"""Codes in one pass."""


def closed_form_directions(weight: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Unit eigenvectors of `A^T A` with the largest eigenvalues, the largest component of each positive.

    Args:
        weight: A, `[M, d]`: what is applied first to a code, or several such matrices stacked.
        k: directions at most.

    Returns:
        Directions `[k, d]` and eigenvalues `[k]`, falling; fewer where a code has fewer numbers.

    Source:
        Shen & Zhou 2021, arXiv:2007.06600.

    >>> directions, values = closed_form_directions(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 2)
    >>> directions.tolist(), values.tolist()
    ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [9.0, 4.0])
    """
    a = widen(weight)
    values, vectors = torch.linalg.eigh(a.T @ a)
    return with_signs(vectors.flip(1).T[:k]).to(weight), values.flip(0)[:k].clamp(min=0).to(weight)


@torch.no_grad()
def feature_directions(
    generator: LatentGenerator, k: int, *, seed: int = 0, drawn: int = DRAWN
) -> tuple[Tensor, Tensor]:
    """Principal components of the generator's middle features, each regressed back to the codes that they came from.

    Args:
        generator: draws the codes and has the features.
        k: directions at most.
        seed: of the codes.
        drawn: codes.

    Returns:
        Orthonormal directions `[k, d]`, the largest component of each positive, and variances `[k]` of the components.

    Raises:
        ModelError: features are no finite numbers.

    Source:
        Harkonen et al. 2020, arXiv:2004.02546.
    """
    codes = generator.draw_codes(SampleRng.of(seed, "directions", [str(i) for i in range(drawn)]))
    codes = codes.to(generator.mean_code())
    features = torch.cat([generator.middle(part) for part in torch.split(codes, PART)])
    found = widen(check_finite(features, "features", generator.name))
    places, values, _ = torch.linalg.svd(found - found.mean(0), full_matrices=False)
    k = min(k, generator.latents, int((values > 1e-6 * values[0]).sum()))
    regressed = places[:, :k].T @ (widen(codes) - widen(codes).mean(0))  # least squares
    directions = torch.linalg.qr(regressed.T).Q.T
    return with_signs(directions).to(codes), (values[:k] ** 2 / max(1, drawn - 1)).to(codes)


def find_directions(generator: LatentGenerator, k: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Directions in closed form where the generator has a first weight, else by its features.

    Args:
        generator: whose codes are meant.
        k: directions at most.
        seed: of codes that are drawn.

    Returns:
        Directions `[k, d]` and eigenvalues `[k]`, falling.
    """
    weight = generator.first_weight()
    return feature_directions(generator, k, seed=seed) if weight is None else closed_form_directions(weight, k)


def code_scales(directions: Tensor, codes: Tensor) -> Tensor:
    """Standard deviation of codes along each direction, `[k]`.

    Args:
        directions: `[k, d]`.
        codes: `[N, d]`, of training images, two or more.
    """
    return (codes @ directions.T).std(0)


def with_signs(directions: Tensor) -> Tensor:
    """Directions `[k, d]`, turned so that the component of largest size is positive."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * torch.where(largest < 0, -1.0, 1.0)

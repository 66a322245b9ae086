"""One iteration of the search for a mixture of viewpoints: a population, its fitness, the changed mixture.

Symbols of the paper's code: `w` centred ranks, `c_k` the rank of the mean k, `r` standard normal, `omega = 1 / K`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unshaken.attack.viewpoint.mixture import ViewMixture, draw_components, entropy_slopes
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

LEAST, MOST = 0.01, 0.15
"""Bounds of sigma."""
START = 0.1
"""Sigma at the start."""


class Population(State):
    """Viewpoints that are tried, before the tanh: the K means, then P points and their P mirror images.

    Args:
        u: `[N, K + 2 P, 6]`.
        k: the component of each coordinate of a pair, int64 `[N, P, 6]`.
        r: standard normal, `[N, P, 6]`.
    """

    u: Tensor
    k: Tensor
    r: Tensor


class Evolution(State):
    """The search of each object.

    Args:
        mixture: so far.
        velocity: of the means, `[N, K, 6]`.
        step: iterations done, int64 `[N]`.
    """

    mixture: ViewMixture
    velocity: Tensor
    step: Tensor


@dataclass(frozen=True, slots=True)
class Rates:
    """How the mixture follows the ranks.

    Args:
        entropy: weight lambda of the entropy.
        mu: learning rate of the means.
        decay: its factor from one iteration to the next.
        momentum: of the means' velocity.
        sigma: learning rate of the deviations.
        sigma_weight: whether the deviations' gradient is multiplied by omega, as in the published code, or divided by
            it, as that of the means.
    """

    entropy: float = 0.05
    mu: float = 0.1
    decay: float = 0.99
    momentum: float = 0.9
    sigma: float = 0.2
    sigma_weight: Literal["multiply", "divide"] = "multiply"


def populate(mixture: ViewMixture, rng: SampleRng, pairs: int) -> Population:
    """Draw a population.

    Args:
        mixture: of each object.
        rng: the objects' streams of this iteration.
        pairs: number P.
    """
    k = draw_components(rng, mixture.mu.shape[1], pairs, mixture.per_dim)
    r = rng.fold("r").normal(pairs, 6)
    centre, step = mixture.mu.gather(1, k), mixture.sigma.gather(1, k) * r
    return Population(torch.cat([mixture.mu, centre + step, centre - step], 1), k, r)


def centred_ranks(fitness: Tensor) -> Tensor:
    """`rank / (n - 1) - 1/2` along the last dimension, rank 0 the smallest; equal values in their order.

    >>> centred_ranks(torch.tensor([0.3, 2, -1, 0.7, 5])).tolist()
    [-0.25, 0.25, -0.5, 0.0, 0.5]
    """
    ranks = fitness.argsort(dim=-1, stable=True).argsort(dim=-1)
    return ranks.float() / max(1, fitness.shape[-1] - 1) - 0.5


def evolve(evolution: Evolution, population: Population, fitness: Tensor, rates: Rates) -> Evolution:
    """The mixture after an iteration.

    Args:
        evolution: before it.
        population: drawn from its mixture.
        fitness: of each point, to be raised, `[N, K + 2 P]`.
        rates: of the change.
    """
    mixture, k, r = evolution.mixture, population.k, population.r
    mu, sigma, components, pairs = mixture.mu, mixture.sigma, mixture.mu.shape[1], k.shape[1]
    omega = 1 / components
    w = centred_ranks(fitness)
    c, plus, minus = w[:, :components], w[:, components : components + pairs], w[:, components + pairs :]
    count = _sums(k, torch.ones_like(r), components)
    many = count.clamp(min=1)

    # The means: sum over pairs of (w+ - w-) sigma_k r / omega.
    drawn = sigma.gather(1, k)
    by_mu = _sums(k, (plus - minus)[..., None] * drawn * r, components) / omega
    # The deviations: mean over pairs of ((w+ + w-) / 2 - c_k) (eps^2 - sigma^2) / (2 sigma).
    above = ((plus + minus) / 2)[..., None] - c[..., None].expand(-1, -1, 6).gather(1, k)
    by_sigma = _sums(k, above * ((drawn * r) ** 2 - drawn**2) / drawn / 2, components) / many
    by_sigma = by_sigma * (omega if rates.sigma_weight == "multiply" else 1 / omega)

    # The entropy: means over the component's draws, both of each pair, and its mean with r = 0.
    entropy_mu, entropy_sigma = entropy_slopes(mu, torch.zeros_like(mu), sigma)
    both = (population.u[:, components : components + pairs], r), (population.u[:, components + pairs :], -r)
    for u, normal in both:
        slope_mu, slope_sigma = entropy_slopes(u, normal, drawn)
        entropy_mu = entropy_mu + _sums(k, slope_mu, components)
        entropy_sigma = entropy_sigma + _sums(k, slope_sigma, components)
    draws = 2 * count + 1
    by_mu = by_mu + rates.entropy * omega * entropy_mu / draws
    by_sigma = by_sigma + rates.entropy * omega * entropy_sigma / draws

    velocity = rates.momentum * evolution.velocity + (1 - rates.momentum) * by_mu
    rate = rates.mu * rates.decay ** evolution.step.to(mu)[:, None, None]
    change = (rates.sigma * by_sigma).clamp(-0.2 * sigma, 0.2 * sigma)
    wide = (sigma + change).clamp(LEAST, MOST)
    wide = torch.where(wide > LEAST, (wide * 0.999).clamp(min=LEAST), wide)
    return Evolution(mixture.replace(mu=mu + rate * velocity, sigma=wide), velocity, evolution.step + 1)


def _sums(k: Tensor, values: Tensor, components: int) -> Tensor:
    """Sums over the draws of each component, `[N, K, 6]`, of values `[N, P, 6]`."""
    return values.new_zeros(len(values), components, 6).scatter_add(1, k, values)

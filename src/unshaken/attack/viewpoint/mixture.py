"""Mixtures of Gaussians over viewpoints: draws, entropy, and the entropy's gradients.

A viewpoint is `v = a tanh(u) + b` in each of its six coordinates, `u = mu_k + sigma_k r`, `r ~ N(0, 1)`, and the
component k is drawn evenly: once a viewpoint (a joint mixture), or for each coordinate apart.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.data.viewpoint.object_set import ViewBox

_NODES, _WEIGHTS = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(64))


class ViewMixture(State):
    """A mixture an object.

    Args:
        mu: centres, before the tanh, `[N, K, 6]`.
        sigma: standard deviations, `[N, K, 6]`.
        per_dim: whether each coordinate draws a component of its own.
    """

    mu: Tensor
    sigma: Tensor
    per_dim: bool = False

    def draw(self, rng: SampleRng, count: int) -> tuple[Tensor, Tensor]:
        """Points u `[N, count, 6]`, and the component of each coordinate, int64 of the same shape."""
        k, r = draw_components(rng, self.mu.shape[1], count, self.per_dim), rng.fold("r").normal(count, 6)
        return self.mu.gather(1, k) + self.sigma.gather(1, k) * r, k


def draw_components(rng: SampleRng, components: int, count: int, per_dim: bool) -> Tensor:
    """Components drawn evenly, int64 `[N, count, 6]`.

    Args:
        rng: the objects' streams.
        components: K.
        count: draws of each object.
        per_dim: whether each coordinate has a draw of its own.
    """
    if per_dim:
        return rng.fold("k").integers(0, components, count, 6)
    return rng.fold("k").integers(0, components, count, 1).expand(-1, -1, 6).contiguous()


def entropy(mixture: ViewMixture, box: ViewBox, free: Tensor | None = None) -> Tensor:
    """Entropy of viewpoint and component together, in nats, float64 `[N]`, by quadrature.

    `H(v, k) = log K + mean_k sum_d [log sigma + (1 + log 2 pi) / 2 + E log(1 - tanh^2 u) + log a]`. It is an upper
    bound of the viewpoint's own entropy, which is smaller by `log K` where all components are one.

    Args:
        mixture: of each object.
        box: of the viewpoints.
        free: bool `[6]`: coordinates that are searched; the others count for nothing.
    """
    mu, sigma = widen(mixture.mu), widen(mixture.sigma)
    u = mu[..., None] + sigma[..., None] * _NODES.to(mu)
    log_slope = 2 * (math.log(2) - u - torch.nn.functional.softplus(-2 * u))  # log(1 - tanh^2 u)
    expected = (log_slope * _WEIGHTS.to(mu)).sum(-1) / math.sqrt(2 * math.pi)
    each = sigma.log() + (1 + math.log(2 * math.pi)) / 2 + expected + mu.new_tensor(box.a).log()
    kept = torch.ones(6, dtype=torch.bool) if free is None else free
    draws = int(kept.sum()) if mixture.per_dim else 1
    total: Tensor = each[..., kept.to(mu.device)].sum(-1).mean(1) + draws * math.log(mu.shape[1])
    return total


def entropy_slopes(u: Tensor, r: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """What a draw adds to the entropy's gradients by mu and sigma: `-2 tanh u`, and `1 / sigma - 2 r tanh u`.

    Args:
        u: the draw, `mu + sigma r`.
        r: standard normal.
        sigma: of the draw's component.
    """
    slope = -2 * u.tanh()
    return slope, 1 / sigma + r * slope

"""Mixtures of Gaussians over viewpoints: draws, entropy, and the entropy's gradients.

A viewpoint is `v = a tanh(u) + b` in each of its six coordinates, `u = mu_k + sigma_k r`, `r ~ N(0, 1)`, and the
component k is drawn evenly: once a viewpoint (a joint mixture), or for each coordinate apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.core.tables import declare_table
from unshaken.data.viewpoint.object_set import ViewBox
from unshaken.store.run_dir import RunDir

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
    chosen = torch.ones(6, dtype=torch.bool) if free is None else free
    draws = int(chosen.sum()) if mixture.per_dim else 1
    total: Tensor = each[..., chosen.to(mu.device)].sum(-1).mean(1) + draws * math.log(mu.shape[1])
    return total


def entropy_slopes(u: Tensor, r: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The share of a draw in the entropy's gradients by mu and sigma: `-2 tanh u`, and `1 / sigma - 2 r tanh u`.

    Args:
        u: the draw, `mu + sigma r`.
        r: standard normal.
        sigma: of the draw's component.
    """
    slope = -2 * u.tanh()
    return slope, 1 / sigma + r * slope


declare_table(
    "view_mixtures",
    "id string, condition string, method string, component int32, weight double, mu double[], sigma double[], "
    "half double[], centre double[], per_dim bool, entropy double, fitness double, renders int64, error string",
)


def mixture_rows(
    condition: Condition, ids: Sequence[str], mixture: ViewMixture, box: ViewBox, *, entropy: Tensor, fitness: Tensor,
    renders: Tensor,
) -> Part:  # fmt: skip
    """Rows of `view_mixtures`, one a component.

    Args:
        condition: the search.
        ids: of the objects.
        mixture: of each.
        box: of the viewpoints.
        entropy: of each mixture, in nats, `[N]`.
        fitness: mean cross-entropy of the last population, `[N]`.
        renders: pictures that the search rendered, `[N]`.
    """
    n, count = mixture.mu.shape[:2]

    def repeated(values: Tensor) -> list[Any]:
        return values.repeat_interleave(count).tolist()

    columns = {
        "id": [i for i in ids for _ in range(count)],
        "component": list(range(count)) * n,
        "weight": [1 / count] * (count * n),
        "mu": widen(mixture.mu).flatten(0, 1).tolist(),
        "sigma": widen(mixture.sigma).flatten(0, 1).tolist(),
        "half": [list(box.a)] * (count * n),
        "centre": [list(box.b)] * (count * n),
        "per_dim": [mixture.per_dim] * (count * n),
        "entropy": repeated(entropy),
        "fitness": repeated(fitness),
        "renders": repeated(renders),
    }
    return Part("view_mixtures", condition, columns)


def read_mixtures(place: str, ids: Sequence[str], box: ViewBox) -> ViewMixture:
    """The mixtures that a run saved.

    Args:
        place: the run directory.
        ids: of the objects, all among those of that run.
        box: of the viewpoints; that of the run must be the same.

    Raises:
        ParameterError: there are none, or of several searches; an object has none; or the box is another.
        RunError: the directory cannot be read.
    """
    rows = RunDir(place).rows("view_mixtures").to_pylist()
    searches = sorted({row["condition"] for row in rows})
    if len(searches) != 1:
        found = ", ".join(searches) or "none"
        raise ParameterError(f"start={place!r}: one search with saved mixtures is needed there; it has {found}")
    other = next((r for r in rows if [r["half"], r["centre"]] != [list(box.a), list(box.b)]), None)
    if other is not None:
        raise ParameterError(
            f"start={place!r}: its mixtures are of the box half={other['half']}, centre={other['centre']}, not "
            f"half={list(box.a)}, centre={list(box.b)}: give that box"
        )
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["component"]):
        by_id.setdefault(row["id"], []).append(row)
    absent = [i for i in ids if i not in by_id]
    if absent:
        raise ParameterError(f"start={place!r}: {len(absent)} objects have no mixture there, such as {absent[0]!r}")
    mu, sigma = (torch.tensor([[row[name] for row in by_id[i]] for i in ids]).float() for name in ("mu", "sigma"))
    return ViewMixture(mu, sigma, bool(rows[0]["per_dim"]))

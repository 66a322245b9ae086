"""Search at a hidden layer: values of a few of its units, mapped back to images; it finds or finds not."""

from __future__ import annotations

import time
from fractions import Fraction

import torch
from torch import Tensor

from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.layers import Chain, Conv, Dense
from unshaken.certify.smt._branching import Search, SolverStopped
from unshaken.certify.smt._encoding import Encoding, solver_module
from unshaken.certify.smt._exact import Limits, in_doubt
from unshaken.certify.smt._grid import on, points, size
from unshaken.certify.smt._region import Finding, Region, first_confirmed
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle


def layer_search(
    chain: Chain, oracle: Oracle, region: Region, depth: int, steps: int, most: int, limits: Limits,
    width: int | None = None,
) -> Finding:  # fmt: skip
    """Look at a grid over some units of a layer, each point mapped back to an image.

    The units are those whose values lie farthest from the layer's mean, of those that the free pixels move; the grid
    spans their bounds. A point that no image of the region reaches is passed over: of as many units as there are free
    pixels most points are, of fewer units fewer. Nothing is proved by it.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        depth: which linear layer or convolution, from 1; its outputs before the ReLU.
        steps: m; a unit takes 2 m + 1 values.
        most: points at most; a larger grid is not begun.
        limits: of the solver.
        width: units at most; None for as many as there are free pixels.

    Raises:
        ParameterError: there is no such layer before the logits.
        MissingExtra: z3 is absent.
    """
    began = time.perf_counter()
    places = [i for i, v in enumerate(chain.layers) if isinstance(v, Dense | Conv)][:-1]
    if depth > len(places):
        raise ParameterError(f"smt: layer={depth} must be at most {len(places)}, the hidden layers of {chain.name!r}")
    top = places[depth - 1] + 1
    linear = LinearBounds(chain, on(region.box, chain), limit=oracle.limit)
    units, axes = hidden_grid(chain, region, linear, top, steps, width or len(region.free))
    count, doubt = size(axes), in_doubt(linear)
    if not axes or count > most or doubt > limits.units:
        why = "the free pixels move none of its units" if not axes else f"{count} points, {doubt} units in doubt"
        return Finding("unknown", f"layer {depth}: not begun: {why} (max_points={most}, max_units={limits.units})")
    z3 = solver_module()
    z3.set_param("memory_max_size", limits.memory_mb)
    encoding = Encoding(chain, region, linear.bounds, z3, z3.Context())
    encoding.run(top)
    search, reached = Search(encoding, limits.seconds), 0
    search.begin()
    for at in range(count):
        try:
            values = map_back(encoding, search, units, points(axes, torch.tensor([at]))[0])
        except SolverStopped as stop:
            detail = f"layer {depth}: {stop}, at point {at + 1} of {count}"
            return Finding("unknown", detail, None, None, reached, search.calls, time.perf_counter() - began)
        if values is None:
            continue
        reached += 1
        found = first_confirmed(oracle, region, values[None])
        if found is not None:
            detail = f"layer {depth}: point {at + 1} of {count}, mapped back"
            return Finding("adversarial", detail, *found, reached, search.calls, time.perf_counter() - began)
    detail = f"layer {depth}: not found at {count} points, {reached} of them reached; a search, and no proof"
    data = {"grid": count, "reached": reached}
    return Finding("unknown", detail, None, None, reached, search.calls, time.perf_counter() - began, data)


def hidden_grid(
    chain: Chain, region: Region, linear: LinearBounds, top: int, steps: int, width: int
) -> tuple[Tensor, list[Tensor]]:
    """The units chosen, int64, and the values of each, float64."""
    low, high = (v[0].flatten() for v in linear.bounds[top])
    moved = linear.bounds[0][0].new_tensor(0.0) + (high - low)
    x = region.image[None].to(chain.device, torch.float64)
    for layer in chain.layers[:top]:
        x = layer.forward(x)
    flat = x.flatten()
    extreme = (flat - flat.mean()).abs().masked_fill(moved <= 1e-4 * moved.max(), -1)
    order = extreme.sort(descending=True, stable=True).indices[:width]
    units = order[extreme[order] >= 0]
    share = torch.linspace(0, 1, 2 * steps + 1, dtype=torch.float64)
    return units, [low[u].cpu() + share * (high[u] - low[u]).cpu() for u in units]


def map_back(encoding: Encoding, search: Search, units: Tensor, targets: Tensor) -> Tensor | None:
    """Values of the free pixels at which units of the encoded layer take given values, or None where there are none.

    Args:
        encoding: run up to the layer.
        search: over the encoding.
        units: places in the flat layer, int64 `[U]`.
        targets: float64 `[U]`.

    Raises:
        SolverStopped: out of time or memory.
    """
    base, columns = encoding.base.flatten(), encoding.columns.flatten(1)
    return search.within(
        [
            encoding.value(base[u], columns[:, u]) == encoding.number(Fraction(t))
            for u, t in zip(units.tolist(), targets.tolist(), strict=True)
        ]
    )

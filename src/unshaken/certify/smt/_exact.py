"""Exact verification: linear bounds decide what they can, a solver with branching the rest."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import rounding
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.layers import Affine, Chain, Conv, Dense, MaxPool, ReLU
from unshaken.certify.smt._encoding import Encoding, Search, SolverStopped, solver_module
from unshaken.certify.smt._region import (
    Finding,
    Region,
    classify_grid,
    first_confirmed,
    margin_rounding,
    on,
    points,
    size,
)
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a verification.

    Args:
        seconds: of the solver, on one region.
        memory_mb: of the solver.
        units: that may be on or off, at most; a region with more is not begun.
    """

    seconds: float = 60.0
    memory_mb: int = 4000
    units: int = 400


def exact(chain: Chain, oracle: Oracle, region: Region, limits: Limits) -> Finding:
    """Whether any image of the region has another class, or ties: yes with the image, no, or unknown.

    Linear bounds fix the phases of units and rule out classes. Each class j that is left is a query: a point with
    `z_j - z_y >= -slack`, where the slack is the largest rounding of float32. If no query has one, the region is safe
    for exact numbers as well as for float32.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        limits: of the solver.

    Raises:
        MissingExtra: bounds alone do not decide, and z3 is absent.
    """
    began = time.perf_counter()
    linear = LinearBounds(chain, on(region.box, chain), limit=oracle.limit)
    margins = linear.margins(torch.tensor([region.label], device=chain.device))[0]
    rivals = [j for j in margins.argsort().tolist() if not margins[j] > 0]
    units = in_doubt(linear)
    data = {"units": units, "rivals": len(rivals)}
    if not rivals:
        detail = "exact: linear bounds prove every margin"
        return Finding("safe_general", detail, seconds=time.perf_counter() - began, data=data)
    if units > limits.units:
        detail = f"exact: {units} units may be on or off, more than max_units={limits.units}"
        return Finding("unknown", detail, seconds=time.perf_counter() - began, data=data)
    off = rounding(chain, linear.bounds)[0]
    z3 = solver_module()
    z3.set_param("memory_max_size", limits.memory_mb)
    context = z3.Context()
    encoding = Encoding(chain, region, linear.bounds, z3, context)
    search = Search(encoding, limits.seconds)
    point, detail = None, f"exact: no point of the region, with {units} units in doubt and {len(rivals)} classes"
    verdict: Any = "safe_general"
    try:
        encoding.run(len(chain.layers))
        search.begin()
        for j in rivals:
            point = search.find(encoding.logit_difference(j, region.label), float(off[j] + off[region.label]))
            if point is not None:
                break
    except (SolverStopped, z3.Z3Exception) as stop:  # the solver's own exception: out of memory
        verdict, detail = "unknown", f"exact: {stop}"
    data["nodes"] = search.nodes
    if point is not None:
        return check_point(oracle, region, point, search, began, data)
    return Finding(verdict, detail, calls=search.calls, seconds=time.perf_counter() - began, data=data)


def check_point(
    oracle: Oracle, region: Region, values: Tensor, search: Search, began: float, data: dict[str, Any]
) -> Finding:
    """The solver's point as the model itself sees it."""
    found = first_confirmed(oracle, region, values[None])
    seconds = time.perf_counter() - began
    if found is None:
        detail = "exact: the nearest point to another class lies within float32's rounding of a tie, not beyond"
        return Finding("unknown", detail, None, None, 1, search.calls, seconds, data)
    detail = f"exact: a point of the region, with {data['units']} units in doubt"
    return Finding("adversarial", detail, *found, 1, search.calls, seconds, data)


def in_doubt(linear: LinearBounds) -> int:
    """Units of the first sample that may be on or off."""
    pairs = zip(linear.chain.layers, linear.bounds, strict=False)
    return sum(int(((low[0] < 0) & (high[0] > 0)).sum()) for layer, (low, high) in pairs if isinstance(layer, ReLU))


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


def covering(
    chain: Chain, oracle: Oracle, region: Region, axes: list[Tensor], most: int, lipschitz: float | None = None
) -> Finding:
    """The whole region is safe when every point of a grid of spacing t has a margin above `L t / 2`.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        axes: values of each free pixel, both of its bounds among them.
        most: points at most.
        lipschitz: L, a bound of how fast a margin changes in the max norm over the region; None for the one that
            intervals of the gradient give.
    """
    began = time.perf_counter()
    found = classify_grid(chain, oracle, region, axes, most, "covering")
    if found.verdict != "safe_on_grid" or found.margin is None:
        return found
    steepest = lipschitz_bound(chain, region) if lipschitz is None else lipschitz
    spacing = max((float(a.double().diff().max()) if len(a) > 1 else 0.0) for a in axes)
    need = steepest * spacing / 2 + margin_rounding(chain, region)
    data = {"grid": size(axes), "spacing": spacing, "lipschitz": steepest, "least_margin": found.margin}
    words = f"margin {found.margin:.4g}, L t / 2 + rounding = {need:.4g} at L = {steepest:.4g}, t = {spacing:.4g}"
    if found.margin > need:
        detail = f"covering: every point reaches halfway to the next: {words}"
        return replace(found, verdict="safe_general", detail=detail, data=data, seconds=time.perf_counter() - began)
    detail = f"covering: safe at {size(axes)} points, but they do not reach halfway to the next: {words}"
    return replace(found, verdict="unknown", detail=detail, data=data, seconds=time.perf_counter() - began)


def lipschitz_bound(chain: Chain, region: Region) -> float:
    """L: the largest l1 norm, over the free pixels, of a margin's gradient anywhere in the region, by intervals.

    Each unit's slope is 1 where it is on, 0 where it is off and in [0, 1] elsewhere; a window of a pooling may take any
    of its members.
    """
    linear = LinearBounds(chain, on(region.box, chain))
    one_hot = torch.eye(chain.classes, dtype=torch.float64, device=chain.device)
    rows = (one_hot[region.label] - one_hot, one_hot[region.label] - one_hot)
    for layer, inside in reversed(list(zip(chain.layers, linear.bounds, strict=False))):
        low, high = rows
        if isinstance(layer, Affine):
            middle, wide = layer.pull((low + high) / 2), layer.pull((high - low) / 2, size=True)
            rows = middle - wide, middle + wide
        elif isinstance(layer, ReLU):
            always, never = inside[0] >= 0, inside[1] <= 0
            low, high = low.where(always, low.clamp_max(0)), high.where(always, high.clamp_min(0))
            rows = low.masked_fill(never, 0), high.masked_fill(never, 0)
        elif isinstance(layer, MaxPool):
            rows = _shared(layer, low.clamp_max(0)), _shared(layer, high.clamp_min(0))
        else:
            rows = low.reshape(-1, *layer.source), high.reshape(-1, *layer.source)
    free = region.free.to(chain.device)
    steep = torch.maximum(rows[0].abs(), rows[1].abs()).flatten(1)[:, free].sum(1)
    return float(steep.max()) * (1 + 1e-9)


def _shared(layer: MaxPool, rows: Tensor) -> Tensor:
    """Every member of a window gets what the window has."""
    members = layer.members().to(rows.device)
    inside = members.clamp_min(0).flatten()
    flat = rows.new_zeros(len(rows), math.prod(layer.source))
    parts = (rows[..., None] * (members >= 0)).flatten(1)
    return flat.index_add(1, inside, parts).view(-1, *layer.source)

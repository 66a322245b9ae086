"""Exact verification: linear bounds decide what they can, a solver with branching the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import rounding
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.layers import Chain, ReLU
from unshaken.certify.smt._branching import Search, SolverStopped
from unshaken.certify.smt._encoding import Encoding, solver_module
from unshaken.certify.smt._grid import on
from unshaken.certify.smt._region import Finding, Region, first_confirmed
from unshaken.core.oracle import Oracle


@dataclass(frozen=True, slots=True)
class Limits:
    """What a verification may spend.

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

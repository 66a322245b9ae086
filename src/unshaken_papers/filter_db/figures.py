"""Drifts, entropies and degenerate layers over the seeds, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from unshaken.explain.filters.measures import LOW_VARIANCE, SPARSE
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.filter_db import ABOUT, CORRUPTIONS, RANDOM, TRAINED, FilterDBPaper

Drift = Callable[[str, str], float]


def figures(paper: FilterDBPaper, rows: Rows) -> dict[str, Any]:
    """Means over the seeds, with intervals."""
    seeds = rows.repetitions(paper.seeds)
    return {
        **drifts(rows, list(seeds)),
        **entropies([quality(part) for part in seeds.values()]),
        **oversized(list(seeds.values())),
        "accuracy": {
            f"{net}.{shown}": across_seeds([part.shares(f"{net}.{shown}") for part in seeds.values()], low=0)
            for net, shown in product(("standard", "robust"), ("clean", "pgd"))
        },
    }


def drifts(rows: Rows, seeds: list[str]) -> dict[str, Any]:
    """Distances between kinds of networks; each seed is compared with itself, data sets and recipes with all seeds."""
    known = {(r["one"], r["other"]): r["drift"] for r in rows.table("drifts", "all").to_pylist()}

    def drift(one: str, other: str) -> float:
        return float(known.get((one, other), known.get((other, one), 0.0)))

    random = [np.mean([drift(f"{s}.{RANDOM}", f"{s}.{kind}") for kind in TRAINED]) for s in seeds]
    data = [[drift(f"{s}.standard", f"{t}.other") for t in seeds] for s in seeds]
    floor = [np.mean([drift(f"{s}.{kind}", f"{t}.{kind}") for kind in TRAINED for t in seeds if t != s]) for s in seeds]
    robust = [drift(f"{s}.standard", f"{s}.robust") for s in seeds]

    def over(values: Any, low: float = 0.0) -> dict[str, Any]:
        return across_seeds([float(v) for v in values], low=low, high=math.inf)

    means = [np.mean(each) for each in data]
    return {
        "ratio": over([r / max(each) for r, each in zip(random, data, strict=True)]),
        "drift": {"random": over(random), "data": over(means), "seeds": over(floor), "robust": over(robust)},
        "above_floor": {
            name: over(np.subtract(values, floor), low=-math.inf)
            for name, values in (("random", random), ("data", means))
        },
    }


Quality = Mapping[str, Mapping[str, list[Any]]]


def quality(rows: Rows) -> dict[str, dict[str, list[Any]]]:
    """By network and quantity, the values of its layers in order."""
    return {
        name: {key: [r[key] for r in sorted(own, key=lambda r: r["layer"])] for key in own[0]}
        for name, own in rows.grouped("layers").items()
    }


def entropies(seeds: list[Quality]) -> dict[str, Any]:
    """Entropy as a share of that of random filters: by network, by layer, and what the parts of the claim say of it."""
    kinds = (RANDOM, *TRAINED)

    def over(value: Callable[[Quality], float], low: float = -1.0, high: float = 1.0) -> dict[str, Any]:
        return across_seeds([float(value(part)) for part in seeds], low=low, high=high)

    def ratio(kind: str, part: Quality) -> float:
        """The mean over the layers after the first, which has too few filters."""
        return float(np.mean(part[kind]["ratio"][1:]))

    def of_layer(kind: str, layer: int, part: Quality) -> float:
        return float(part[kind]["ratio"][layer])

    def fall(kind: str, part: Quality) -> float:
        return of_layer(kind, 1, part) - of_layer(kind, -1, part)

    def deep(part: Quality, kind: str, key: str) -> float:
        return float(np.mean(part[kind][key][-2:]))

    return {
        "entropy": {
            **{kind: over(partial(ratio, kind), low=0, high=2) for kind in kinds},
            "about": over(lambda p: ABOUT - abs(1 - ratio(RANDOM, p))),
            "below": over(lambda p: 1 - ratio("standard", p)),
        },
        "by_layer": {
            kind: {
                str(i + 1): over(partial(of_layer, kind, i), low=0, high=2)
                for i in range(len(seeds[0][kind]["ratio"]))
            }
            for kind in kinds
        },
        "depth": {kind: over(partial(fall, kind)) for kind in ("standard", "robust")},
        "robust": {
            "entropy": over(lambda p: deep(p, "robust", "entropy") - deep(p, "standard", "entropy")),
            "less_sparse": over(lambda p: deep(p, "standard", "sparsity") - deep(p, "robust", "sparsity")),
            "orthogonality": over(lambda p: deep(p, "robust", "orthogonality") - deep(p, "standard", "orthogonality")),
        },
    }  # fmt: skip


def oversized(seeds: list[Rows]) -> dict[str, Any]:
    """Degenerate layers of the network that is too large, and what corruptions cost it."""

    def share(rows: Rows, net: str) -> float:
        kinds = [r["degenerate"] or "" for r in rows.table("layers", net).to_pylist()]
        return float(np.mean([SPARSE in k or LOW_VARIANCE in k for k in kinds]))

    def lost(rows: Rows, net: str) -> Numbers:
        return rows.shares(f"{net}.clean") - rows.shares(*(f"{net}.{kind}" for kind in CORRUPTIONS))

    others = ("base", "narrow")
    nets, step = (*others, "wide"), 1 / seeds[0].table("layers", "base").num_rows
    return {
        "degenerate": {
            **{net: across_seeds([share(part, net) for part in seeds], low=0, step=step) for net in nets},
            **{
                f"over_{net}": across_seeds([share(part, "wide") - share(part, net) for part in seeds], step=step)
                for net in others
            },
        },
        "lost": {net: across_seeds([lost(part, net) for part in seeds]) for net in nets},
        "fragile": {
            f"over_{net}": across_seeds([lost(part, "wide") - lost(part, net) for part in seeds], low=-2.0, high=2.0)
            for net in others
        },
    }

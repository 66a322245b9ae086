"""Correlations over pairs of classes of what is known before training with what networks do, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.explain.geometry.scaling_relations import loss_exponent, radius_bound
from unshaken.measure.statistics.correlation import correlation
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.intrinsic_properties import AT_QUANTILE, DIMENSION, LEVELS, PREDICTORS, IntrinsicPropertiesPaper

Pair = dict[str, Any]


def figures(paper: IntrinsicPropertiesPaper, rows: Rows) -> dict[str, Any]:
    """Pooled over all pairs, and within each source."""
    seeds = list(rows.repetitions(paper.seeds).values())
    pairs = [measured_pair(seeds, label, own[0]) for label, own in sorted(rows.grouped("data").items())]
    known = [p for p in pairs if p["sharpness"] is not None and p[AT_QUANTILE] is not None]
    bound = radius_bound([p["radius"] for p in known], [p[AT_QUANTILE] for p in known])
    places = dict.fromkeys(p["label"].partition(".")[0] for p in known)
    sources = {s: [p for p in known if p["label"].startswith(f"{s}.")] for s in places}
    found = {
        **related(known),
        "bounded": share_of(np.array([p["representation"] < p["twonn"] for p in pairs])),
        "radius": bound.relation.figure.to_json(),
        "radius_constant": bound.constant,
        "ranges": {name: ranges(own) for name, own in sources.items()},
        "within": {name: related(own) for name, own in sources.items() if len(own) > 3},
        "pairs": {
            p["label"]: {k: p[k] for k in (*PREDICTORS, "twonn", "representation", "loss", "radius")} for p in pairs
        },
    }
    slope = slopes(seeds, pairs)
    return found if slope is None else found | {"slope": slope}


def measured_pair(seeds: list[Rows], label: str, data: Mapping[str, Any]) -> Pair:
    """Measured pair of classes: of its data, and means over the seeds of its networks."""
    nets = [seed.within(label) for seed in seeds]
    before = np.mean([loss(net, "before") for net in nets])
    radii = []
    for net in nets:
        own = [r["distance"] for r in net.table("radii", "radii").to_pylist() if r["correct"]]
        radii.append(float(np.median(own)) if own else 0.0)
    return {
        **{k: data[k] for k in ("source", "classes", "sharpness", "sharpness_999", "dimension", "twonn", "n")},
        "label": label,
        "loss": float(np.mean([loss(net, "clean") for net in nets])),
        "penalty": {str(e): float(np.mean([loss(net, f"fgsm-{e}") for net in nets]) - before) for e in LEVELS},
        "radius": float(np.mean(radii)),
        "representation": float(np.mean([net.column("representation", "representation", "twonn")[0] for net in nets])),
    }


def loss(rows: Rows, label: str) -> float:
    """The mean loss of a network under a condition."""
    return float(np.mean(rows.column("outcomes", label, "loss").astype(np.float64)))


def related(pairs: list[Pair]) -> dict[str, Any]:
    """Pearson's correlation of the penalties and of the loss with each property of the data."""
    return {
        "penalty": {
            str(e): {p: pearson(pairs, p, [x["penalty"][str(e)] for x in pairs]) for p in PREDICTORS} for e in LEVELS
        },
        "loss": {p: pearson(pairs, p, [x["loss"] for x in pairs]) for p in PREDICTORS},
    }


def pearson(pairs: list[Pair], predictor: str, outcome: list[float]) -> dict[str, Any]:
    """One correlation as JSON; 0 with an open interval where a column is constant."""
    try:
        return correlation([p[predictor] for p in pairs], outcome).figure.to_json()
    except ParameterError:
        return {"value": 0.0, "low": -1.0, "high": 1.0, "n": len(pairs), "interval": "none: a column is constant"}


def ranges(pairs: list[Pair]) -> dict[str, Any]:
    """The name of a source, and its smallest and largest label sharpness and dimension."""
    found: dict[str, Any] = {"name": pairs[0]["source"]}
    for name, key in (("sharpness", AT_QUANTILE), ("dimension", DIMENSION)):
        values = [p[key] for p in pairs]
        found |= {f"{name}_low": min(values), f"{name}_high": max(values)}
    return found


def slopes(seeds: list[Rows], pairs: list[Pair]) -> dict[str, Any] | None:
    """The slope of log loss against log number of images, mean over the pairs of the sweep; None without one."""
    found = []
    for seed in seeds:
        own = []
        for pair in pairs:
            net = seed.within(pair["label"])
            counts = [
                int(label[3:-6]) for label in net.labels() if label.startswith("few") and label.endswith(".clean")
            ]
            if len(counts) > 1:
                losses = [loss(net, f"few{n}.clean") for n in counts]
                own.append(loss_exponent([*counts, pair["n"]], [*losses, loss(net, "clean")]).value)
        if own:
            found.append(float(np.mean(own)))
    return across_seeds(found, low=-math.inf, high=math.inf) if found else None

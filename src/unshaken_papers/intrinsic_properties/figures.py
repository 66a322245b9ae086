"""Correlations over pairs of classes of what is known before training with what networks do, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy

from unshaken.explain.geometry.scaling_relations import loss_exponent, radius_bound
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.intrinsic_properties import (
    AT_QUANTILE,
    DIMENSION,
    LEVELS,
    MAXIMUM,
    PREDICTORS,
    IntrinsicPropertiesPaper,
)

Pair = dict[str, Any]
NEARLY = 1 - 1e-9
"""The largest correlation on Fisher's scale, where 1 is infinite."""


def figures(paper: IntrinsicPropertiesPaper, rows: Rows) -> dict[str, Any]:
    """Pooled over all pairs, and within each source."""
    seeds = list(rows.repetitions(paper.seeds).values())
    data = {label: own[0] for label, own in sorted(rows.grouped("data").items())}
    pairs = [measured_pair(seeds, label, own) for label, own in data.items() if label.startswith("source")]
    known = [p for p in pairs if p["sharpness"] is not None and p[AT_QUANTILE] is not None]
    bound = radius_bound([p["radius"] for p in known], [p[AT_QUANTILE] for p in known])
    places = dict.fromkeys(p["label"].partition(".")[0] for p in known)
    sources = {s: [p for p in known if p["label"].startswith(f"{s}.")] for s in places}
    found = {
        **related(known),
        "bounded": share_of(np.array([p["representation"] < p["twonn"] for p in pairs])),
        "radius": pearson([{**p, "blunt": 1 / p[AT_QUANTILE]} for p in known], "blunt", [p["radius"] for p in known]),
        "radius_constant": bound.constant,
        "ranges": {name: ranges(own) for name, own in sources.items()},
        "within": {name: related(own) for name, own in sources.items() if len(own) > 3},
        "pairs": {
            p["label"]: {k: p[k] for k in (*PREDICTORS, "twonn", "representation", "loss", "radius")} for p in pairs
        },
    }
    even = [
        {**own, "label": label, "loss": float(np.mean([loss(seed.within(label), "clean") for seed in seeds]))}
        for label, own in data.items()
        if not label.startswith("source") and own[MAXIMUM] is not None and own[AT_QUANTILE] is not None
    ]
    if any(is_medical(p) for p in even):
        found["medical"] = compared(even)
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
    """One correlation, its interval on Fisher's scale over classes; 0 with an open one where a column is constant."""
    whole = [{**p, "_": o} for p, o in zip(pairs, outcome, strict=True)]

    def correlated(some: list[Pair]) -> float:
        x, y = (np.array([p[name] for p in some]) for name in (predictor, "_"))
        if len(some) < 2 or not np.ptp(x) or not np.ptp(y):
            return 0.0
        return math.atanh(float(np.clip(np.corrcoef(x, y)[0, 1], -NEARLY, NEARLY)))

    if not np.ptp([p[predictor] for p in pairs]) or not np.ptp(outcome):
        return {"value": 0.0, "low": -1.0, "high": 1.0, "n": len(pairs), "interval": "none: a column is constant"}
    found = over_classes(whole, correlated)
    return found | {name: math.tanh(found[name]) for name in ("value", "low", "high")}


def over_classes(pairs: list[Pair], of: Callable[[list[Pair]], float]) -> dict[str, Any]:
    """A figure of pairs of classes; the interval is Student's by the jackknife over classes, which pairs share.

    Where there are medical pairs, their classes, which are fewer, give the degrees of freedom.
    """
    owners = [{(p["source"], c) for c in p["classes"].split("-")} for p in pairs]
    classes = sorted(set().union(*owners))
    left = np.array([of([p for p, own in zip(pairs, owners, strict=True) if c not in own]) for c in classes])
    fewest = {c for p, own in zip(pairs, owners, strict=True) for c in own if is_medical(p)} or classes
    n = len(classes)
    error = math.sqrt((n - 1) / n * float(np.square(left - left.mean()).sum()))
    value, half = of(pairs), error * float(scipy.stats.t.ppf(0.975, len(fewest) - 1))
    name = "jackknife over classes, student 95%"
    return {"value": value, "low": value - half, "high": value + half, "n": len(pairs), "interval": name}


def is_medical(pair: Mapping[str, Any]) -> bool:
    """Whether a pair is of medical images."""
    return str(pair["label"]).startswith("medical")


def compared(pairs: list[Pair]) -> dict[str, Any]:
    """Medical less natural pairs: logarithms of their label sharpness, and of their test loss at one dimension."""

    def apart(key: str) -> Callable[[list[Pair]], float]:
        def difference(some: list[Pair]) -> float:
            one, other = ([math.log(p[key]) for p in some if is_medical(p) is side] for side in (True, False))
            return float(np.mean(one) - np.mean(other)) if one and other else 0.0

        return difference

    def shift(some: list[Pair]) -> float:
        """The coefficient of being medical beside that of the dimension, by least squares."""
        columns = np.array([[1.0, p[DIMENSION], is_medical(p)] for p in some])
        return float(np.linalg.lstsq(columns, np.log([p["loss"] for p in some]), rcond=None)[0][2])

    return {
        **{key: over_classes(pairs, apart(key)) for key in PREDICTORS},
        "loss": over_classes(pairs, apart("loss")),
        "shift": over_classes(pairs, shift),
        "sets": {f"{p['source']} {p['classes']}": p[AT_QUANTILE] for p in pairs if is_medical(p)},
    }


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

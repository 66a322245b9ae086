"""Errors by group and severity, from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.papers.corruption_suite import GROUPS, JUDGED, NAMES, NETS, SEVERITIES, CorruptionSuitePaper
from unshaken.papers.frame import across_seeds
from unshaken.papers.frame.rows import Numbers, Rows, mean_of


def figures(paper: CorruptionSuitePaper, rows: Rows) -> dict[str, Any]:
    """The small networks over their seeds, and the pretrained ones over the photos."""
    seeds = [rows.within(f"seed{seed}") for seed in rows.seeds(paper.seeds)]
    found = small_networks(seeds)
    return {**found, "photos": pretrained(rows, len(paper.photo_nets))} if paper.photos else found


def wrong(rows: Rows, names: Iterable[str], severities: Iterable[int]) -> Numbers:
    """The share of some corrupted forms in which each sample is misclassified, in order of ids."""
    strengths = list(severities)
    return 1 - rows.shares(*(f"{name}-{severity}" for name in names for severity in strengths))


def small_networks(seeds: list[Rows]) -> dict[str, Any]:
    """Means over the seeds: errors, what noise in training lowers, and the rise from severity to severity."""

    def over(figure: Callable[[Rows], float], low: float = -1.0) -> dict[str, Any]:
        return across_seeds([figure(seed) for seed in seeds], low=low)

    def error(rows: Rows, net: str, names: Iterable[str] = NAMES, severities: Iterable[int] = SEVERITIES) -> float:
        return float(wrong(rows.within(net), names, severities).mean())

    def gain(rows: Rows, names: Iterable[str]) -> float:
        own = tuple(names)
        return error(rows, "plain", own) - error(rows, "noise", own)

    return {
        "clean": {net: over(lambda r, net=net: float(1 - r.correct(f"{net}.clean").mean()), 0.0) for net in NETS},
        "error": {net: over(lambda r, net=net: error(r, net), 0.0) for net in NETS},
        "group_error": {
            net: {g: over(lambda r, net=net, n=names: error(r, net, n), 0.0) for g, names in GROUPS.items()}
            for net in NETS
        },
        "by_severity": {
            net: {str(s): over(lambda r, net=net, s=s: error(r, net, NAMES, [s]), 0.0) for s in SEVERITIES}
            for net in NETS
        },
        "gain": {
            "mean": over(lambda r: gain(r, NAMES)),
            **{group: over(lambda r, names=names: gain(r, names)) for group, names in GROUPS.items()},
        },
        "gain_by_corruption": {name: over(lambda r, name=name: gain(r, [name])) for name in NAMES},
        "noise_gains_more_than": {
            group: over(lambda r, names=names: gain(r, GROUPS["noise"]) - gain(r, names))
            for group, names in GROUPS.items()
            if group != "noise"
        },
        "rise": {
            group: {
                str(high): over(
                    lambda r, n=names, low=low, high=high: error(r, "plain", n, [high]) - error(r, "plain", n, [low])
                )
                for low, high in pairwise(JUDGED)
            }
            for group, names in GROUPS.items()
        },
    }


def pretrained(rows: Rows, count: int) -> dict[str, Any]:
    """Errors on photos with bootstrap intervals over them; a rise is the mean of all networks on the same photo."""
    nets = [rows.within(f"photos.{place}") for place in range(count)]
    mean = [wrong(net, NAMES, JUDGED) for net in nets]

    def at(names: Iterable[str], severity: int) -> Numbers:
        own = tuple(names)
        return np.asarray(np.mean([wrong(net, own, [severity]) for net in nets], 0), np.float64)

    return {
        "clean": {str(place): mean_of(1.0 - net.correct("clean")) for place, net in enumerate(nets)},
        "error": {str(place): mean_of(values) for place, values in enumerate(mean)},
        "lowered": paired_difference(mean[-1], mean[0]).to_json(),
        "rise": {
            group: {
                str(high): paired_difference(at(names, low), at(names, high)).to_json()
                for low, high in pairwise(JUDGED)
            }
            for group, names in GROUPS.items()
        },
    }

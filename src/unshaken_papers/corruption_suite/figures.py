"""Errors by group and severity, from rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.papers.effects import mean_over
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.corruption_suite import GROUPS, JUDGED, NAMES, NETS, OTHERS, SEVERITIES, CorruptionSuitePaper


def figures(paper: CorruptionSuitePaper, rows: Rows) -> dict[str, Any]:
    """The small networks over their seeds, and the pretrained ones over the photos."""
    found = small_networks(list(rows.repetitions(paper.seeds).values()))
    return {**found, "photos": pretrained(rows, len(paper.photo_nets))} if paper.photos else found


def wrong(rows: Rows, names: Iterable[str], severities: Iterable[int]) -> Numbers:
    """The share of some corrupted forms in which each sample is misclassified, in order of ids."""
    strengths = list(severities)
    return 1 - rows.shares(*(f"{name}-{severity}" for name in names for severity in strengths))


def small_networks(seeds: list[Rows]) -> dict[str, Any]:
    """Means over seeds and images: errors, what noise in training lowers, and the rise from severity to severity."""
    over = partial(mean_over, seeds)
    noise = GROUPS["noise"]
    return {
        "clean": {net: over(clean_error, net, low=0.0) for net in NETS},
        "error": {net: over(error, net, NAMES, low=0.0) for net in NETS},
        "group_error": {net: {g: over(error, net, names, low=0.0) for g, names in GROUPS.items()} for net in NETS},
        "by_severity": {net: {str(s): over(error, net, NAMES, [s], low=0.0) for s in SEVERITIES} for net in NETS},
        "c_bar_error": {net: over(error, net, OTHERS, low=0.0) for net in NETS},
        "gain": {
            "mean": over(gain, NAMES),
            "c_bar": over(gain, OTHERS),
            **{group: over(gain, names) for group, names in GROUPS.items()},
        },
        "gain_by_corruption": {name: over(gain, (name,)) for name in (*NAMES, *OTHERS)},
        "noise_gains_more_than": {
            g: over(more, noise, names, low=-2.0, high=2.0) for g, names in GROUPS.items() if g != "noise"
        },
        "rise": {
            group: {str(high): over(rise, names, low_, high) for low_, high in pairwise(JUDGED)}
            for group, names in GROUPS.items()
        },
    }


def clean_error(rows: Rows, net: str) -> Numbers:
    """Error of a network of one seed on each clean image."""
    return 1 - rows.shares(f"{net}.clean")


def error(rows: Rows, net: str, names: Sequence[str], severities: Sequence[int] = SEVERITIES) -> Numbers:
    """The error of a network of one seed on each image, the mean over some corrupted forms."""
    return wrong(rows.within(net), names, severities)


def gain(rows: Rows, names: Sequence[str]) -> Numbers:
    """Error under some corruptions that training with noise takes away, in one seed."""
    return error(rows, "plain", names) - error(rows, "noise", names)


def more(rows: Rows, names: Sequence[str], others: Sequence[str]) -> Numbers:
    """How much larger the gain under some corruptions is than under others, in one seed."""
    return gain(rows, names) - gain(rows, others)


def rise(rows: Rows, names: Sequence[str], low: int, high: int) -> Numbers:
    """By how much the error of the plain network of one seed rises from a severity to a higher one."""
    return error(rows, "plain", names, [high]) - error(rows, "plain", names, [low])


def pretrained(rows: Rows, count: int) -> dict[str, Any]:
    """Errors on photos with bootstrap intervals over them; a rise is the mean of all networks on the same photo."""
    nets = [rows.within(f"photos.{place}") for place in range(count)]
    mean = [wrong(net, NAMES, JUDGED) for net in nets]

    def at(names: Iterable[str], severity: int) -> Numbers:
        own = tuple(names)
        return np.asarray(np.mean([wrong(net, own, [severity]) for net in nets], 0), np.float64)

    return {
        "clean": {
            str(place): mean_of(np.asarray(~net.correct("clean"), np.float64), low=0.0, high=1.0)
            for place, net in enumerate(nets)
        },
        "error": {str(place): mean_of(values, low=0.0, high=1.0) for place, values in enumerate(mean)},
        "lowered": paired_difference(mean[-1], mean[0], low=-1.0, high=1.0).to_json(),
        "rise": {
            group: {
                str(high): paired_difference(at(names, low), at(names, high), low=-1.0, high=1.0).to_json()
                for low, high in pairwise(JUDGED)
            }
            for group, names in GROUPS.items()
        },
    }

"""Figures of the experiment with DVERGE, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.rows import Rows, mean_of
from unshaken_papers.dverge import ARMS, BLACK_BOX, CARRIED, COUNT, DIRECT, LARGER, WAYS, DvergePaper


def figures(paper: DvergePaper, rows: Rows) -> dict[str, Any]:
    """By seed: each arm, and DVERGE less each other arm on the same images. Over seeds: what is compared by means."""
    found: dict[str, Any] = {}
    for seed, part in rows.repetitions(paper.seeds).items():
        found[seed] = {arm: arm_figures(part.within(arm), LARGER.get(arm, COUNT)) for arm in (*ARMS, *LARGER)}
        found[seed]["dverge_minus"] = {arm: differences(part, arm) for arm in ARMS if arm != "dverge"}
    return found | {"over_seeds": compared(list(found.values()))}


def compared(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds: DVERGE of each size, each size less the smaller one, and DVERGE less learning from oneself."""
    sizes = ("dverge", *LARGER)
    names = ("transfer-0.1", BLACK_BOX, "white-box-0.05")
    values = {(arm, name): values_of(seeds, arm, name) for arm in (*sizes, "self-distilled") for name in names}
    found: dict[str, Any] = {
        arm: {name: across_seeds(values[arm, name], low=0.0) for name in names} for arm in (*sizes, "self-distilled")
    }
    for one, other in pairwise(sizes):
        found[f"{other}_minus_{one}"] = {
            name: across_seeds(values[other, name] - values[one, name]) for name in (BLACK_BOX, "white-box-0.05")
        }
    found["others_minus_own"] = {
        "transfer": across_seeds(values["self-distilled", "transfer-0.1"] - values["dverge", "transfer-0.1"]),
        "black-box": across_seeds(values["dverge", BLACK_BOX] - values["self-distilled", BLACK_BOX]),
    }
    return found


def arm_figures(rows: Rows, members: int) -> dict[str, Any]:
    """All figures of an arm with as many members."""
    return {
        "clean": rows.accuracy("clean"),
        "clean_members": [round(float(rows.correct(f"member-{i}").mean()), 4) for i in range(members)],
        **{f"transfer-{eps:g}": transferred(rows, eps, members) for eps in CARRIED},
        **{f"black-box-{eps:g}": rows.accuracy(f"black-box-{eps:g}") for eps in CARRIED},
        **{f"white-box-{eps:g}": rows.accuracy(*(f"white-box-{way}-{eps:g}" for way in WAYS)) for eps in DIRECT},
        "diversity": diversity(rows),
    }


def differences(rows: Rows, arm: str) -> dict[str, Any]:
    """DVERGE less another arm, paired on the same images."""
    labels = ["clean", *(f"black-box-{eps:g}" for eps in CARRIED)]
    return {label: rows.difference(f"dverge.{label}", f"{arm}.{label}") for label in labels}


def transferred(rows: Rows, eps: float, members: int) -> dict[str, Any]:
    """The mean success rate from one member to another; the interval is over images."""
    pairs = permutations(range(members), 2)
    lost = np.mean([~rows.correct(f"member-{i}-to-{j}-{eps:g}") for i, j in pairs], 0)
    return mean_of(lost, low=0.0, high=1.0)


def diversity(rows: Rows) -> dict[str, Any]:
    """The mean `d_ij` of different members, and each member on its own images."""
    source, judge, loss = rows.columns("diversity", "d", "source", "judge", "loss")
    same = source == judge
    return {"between": round(float(loss[~same].mean()), 4), "within": round(float(loss[same].mean()), 4)}

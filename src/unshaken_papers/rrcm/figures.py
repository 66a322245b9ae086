"""Figures of the experiment with rRCM, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken.measure import accuracy
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.rrcm import CURVES, KINDS, SYSTEMS, RRCMPaper


def figures(paper: RRCMPaper, rows: Rows) -> dict[str, Any]:
    """Accuracy under noise of every arm, differences, losses of pretraining, and costs."""
    seeds = list(rows.seeds(paper.seeds))
    costs = {f"seed{s}": cost(rows, s) for s in seeds}
    fewer = {name: values_of(list(costs.values()), name) for name in ("times_fewer_passes", "times_fewer_seconds")}
    return {
        **{f"s{s:g}": {kind: level(paper.arms, rows, seeds, s, kind) for kind in KINDS} for s in paper.sigmas},
        "pretraining": {arm: losses(rows, arm) for arm in paper.arms if arm != "scratch"},
        "cost": costs | {name: across_seeds(values, low=0.0, high=math.inf) for name, values in fewer.items()},
    }


def level(arms: Sequence[str], rows: Rows, seeds: Sequence[int], sigma: float, kind: str) -> dict[str, Any]:
    """Each arm's accuracy, tuned or as a frozen probe, and how much more the full one has."""
    rights = {arm: np.stack([rows.correct(f"{arm}.s{sigma:g}.seed{s}.{kind}") for s in seeds]) for arm in arms}
    found: dict[str, Any] = {
        arm: {
            "mean": round(float(right.mean()), 4),
            **{f"seed{s}": share_of(row) for s, row in zip(seeds, right, strict=True)},
        }
        for arm, right in rights.items()
    }
    for other in ("contrast", "scratch"):
        found[f"full_minus_{other}"] = across_seeds(rights["full"].astype(float) - rights[other])
    return found


def losses(rows: Rows, arm: str) -> dict[str, Any]:
    """Mean losses of the first and of the last epoch over the seeds; nothing where a term was not learned.

    That of consistency ends below half of log B by `below_half`, its interval over seeds.
    """
    table = rows.table("pretraining")
    own = table.filter(pc.equal(table["arm"], arm)).to_pylist()
    last = max(r["epoch"] for r in own)
    found: dict[str, Any] = {
        "log_batch": round(math.log(own[0]["batch"]), 4),
        "seconds": round(float(np.mean([r["seconds"] for r in own])), 1),
    }
    for name in CURVES:
        ends = {e: [r[name] for r in own if r["epoch"] == e and r[name] is not None] for e in (1, last)}
        if all(ends.values()):
            found[name] = {"first": round(float(np.mean(ends[1])), 4), "last": round(float(np.mean(ends[last])), 4)}
            if name == "consistency":
                half = math.log(own[0]["batch"]) / 2
                found["below_half"] = across_seeds(half - np.array(ends[last]), low=-math.inf, high=half)
    return found


def cost(rows: Rows, seed: int) -> dict[str, Any]:
    """Passes and seconds of a certificate, and what is certified; one system over the other."""
    found: dict[str, Any] = {}
    for name, net in SYSTEMS.items():
        own = rows.table("certification_cost", f"{name}.seed{seed}").to_pylist()
        right = [r["prediction"] == r["label"] and not r["abstained"] for r in own]
        radii = [r["radius"] if ok else 0.0 for r, ok in zip(own, right, strict=True)]
        sigma = own[0]["sigma"]
        found[name] = {
            "passes": round(float(np.mean([r["passes"] for r in own])), 1),
            "seconds": round(float(np.mean([r["seconds"] for r in own])), 4),
            "parameters": own[0]["parameters"],
            "certified": accuracy(right).to_json(),
            "certified_at_half_sigma": accuracy([r >= sigma / 2 for r in radii]).to_json(),
            "average_radius": round(float(np.mean(radii)), 4),
            "accuracy_under_noise": rows.accuracy(f"{net}.s{sigma:g}.seed{seed}.tuned"),
        }
    for what in ("passes", "seconds"):
        found[f"times_fewer_{what}"] = round(found["denoised"][what] / max(found["rrcm"][what], 1e-9), 2)
    return found

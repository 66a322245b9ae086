"""Figures of the experiment with rRCM, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.measure import accuracy, paired_difference
from unshaken.run.store import RunDir

KINDS = ("tuned", "probe")


class Figures:
    """The figures of a run.

    Args:
        run: where the rows are.
        arms: names.
        seeds: runs of each.
        sigmas: levels of noise.
    """

    def __init__(self, run: RunDir, arms: Sequence[str], seeds: Sequence[int], sigmas: Sequence[float]) -> None:
        self.run, self.arms, self.seeds, self.sigmas = run, arms, seeds, sigmas
        self.outcomes = run.rows("outcomes", ["id", "condition", "correct"])

    def all(self) -> dict[str, Any]:
        """Accuracy under noise of every arm, differences, losses of pretraining, and costs."""
        return {
            **{f"s{s:g}": self.level(s) for s in self.sigmas},
            "pretraining": {arm: self.losses(arm) for arm in self.arms if arm != "scratch"},
            "cost": self.cost(),
        }

    def level(self, sigma: float) -> dict[str, Any]:
        """Each arm's accuracy, tuned and as a frozen probe, and how much more the full one has."""
        found: dict[str, Any] = {}
        for kind in KINDS:
            rights = {arm: self.rights(arm, sigma, kind) for arm in self.arms}
            found[kind] = {
                arm: {
                    "mean": round(float(right.mean()), 4),
                    **{f"seed{s}": accuracy(row).to_json() for s, row in zip(self.seeds, right, strict=True)},
                }
                for arm, right in rights.items()
            }
            for other in ("contrast", "scratch"):
                difference = paired_difference(rights[other].mean(0), rights["full"].mean(0))
                found[kind][f"full_minus_{other}"] = difference.to_json()
        return found

    def rights(self, arm: str, sigma: float, kind: str) -> NDArray[np.bool_]:
        """Right answers, `[seeds, images]`."""
        return np.stack([self.right(f"{arm}.s{sigma:g}.seed{seed}.{kind}") for seed in self.seeds])

    def right(self, condition: str) -> NDArray[np.bool_]:
        """Right answers under a condition, in the order of the ids."""
        rows = self.outcomes.filter(pc.equal(self.outcomes["condition"], condition)).sort_by("id")
        return np.asarray(rows["correct"].to_numpy(zero_copy_only=False), bool)

    def losses(self, arm: str) -> dict[str, Any]:
        """Mean losses of the first and of the last epoch over the seeds; nothing where a term was not learned."""
        table = self.run.rows("pretraining")
        rows = [r for r in table.filter(pc.equal(table["arm"], arm)).to_pylist() if r["seed"] in self.seeds]
        last = max(r["epoch"] for r in rows)
        found: dict[str, Any] = {
            "log_batch": round(math.log(rows[0]["batch"]), 4),
            "seconds": round(float(np.mean([r["seconds"] for r in rows])), 1),
        }
        for name in [k for k in rows[0] if k.startswith(("contrast", "consistency"))]:
            ends = {e: [r[name] for r in rows if r["epoch"] == e and r[name] is not None] for e in (1, last)}
            if all(ends.values()):
                found[name] = {"first": round(float(np.mean(ends[1])), 4), "last": round(float(np.mean(ends[last])), 4)}
        return found

    def cost(self) -> dict[str, Any]:
        """Passes and seconds of a certificate, and what is certified; one system over the other."""
        table = self.run.rows("certification_cost")
        found: dict[str, Any] = {}
        for name, of in (("rrcm", "full"), ("denoised", "denoised")):
            rows = table.filter(pc.equal(table["condition"], name)).to_pylist()
            right = [r["prediction"] == r["label"] and not r["abstained"] for r in rows]
            radii = [r["radius"] if ok else 0.0 for r, ok in zip(rows, right, strict=True)]
            sigma = rows[0]["sigma"]
            found[name] = {
                "passes": round(float(np.mean([r["passes"] for r in rows])), 1),
                "seconds": round(float(np.mean([r["seconds"] for r in rows])), 4),
                "parameters": rows[0]["parameters"],
                "certified": accuracy(right).to_json(),
                "certified_at_half_sigma": accuracy([r >= sigma / 2 for r in radii]).to_json(),
                "average_radius": round(float(np.mean(radii)), 4),
                "accuracy_under_noise": accuracy(self.right(f"{of}.s{sigma:g}.seed{self.seeds[0]}.tuned")).to_json(),
            }
        for what in ("passes", "seconds"):
            found[f"times_fewer_{what}"] = round(found["denoised"][what] / max(found["rrcm"][what], 1e-9), 2)
        return found

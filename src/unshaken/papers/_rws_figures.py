"""Figures of the experiment with weight signatures, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken.harden.surgery.surgery import Trial, best_trial
from unshaken.measure import accuracy, compare
from unshaken.measure.statistics.columns import Flags
from unshaken.papers._rws_run import ALLOWED, RANDOM
from unshaken.run.store import RunDir

COMPARED = ("base", "robust", "patched", "interpolated")


def seed_figures(run: RunDir, name: str) -> dict[str, Any]:
    """Everything that the rows of one seed say."""
    rows = Rows(run, name)
    found: dict[str, Any] = {
        kind: rows.kind(kind) for kind in ("noise", "blur", "contrast") if rows.has(f"{kind}.base.on-clean")
    }
    if rows.has("both.on-clean"):
        found["two_patches"] = {
            label: {kind: rows.accuracy(f"{place}.on-{kind}") for kind in ("clean", "noise", "blur")}
            for label, place in {
                "base": "neither",
                "noise": "noise.alone",
                "blur": "blur.alone",
                "both": "both",
            }.items()
        }
        found["transfer"] = {
            label: rows.pair(f"transfer.{label}", "noise") for label in ("base", "robust", "patched", "random0")
        }
    values = rows.values()
    found["weights"] = {k: round(v, 4) for k, v in values.items() if k != "from_cache"}
    found["networks_from_cache"] = bool(values["from_cache"])
    return found


def mean_of(seeds: Mapping[str, Any]) -> dict[str, float]:
    """Means over seeds of what the rule needs, for noise; `recovered` is the ratio of two means."""

    def of(label: str, what: str) -> float:
        return float(np.mean([part["noise"][label][what]["value"] for part in seeds.values()]))

    base, clean = of("base", "changed"), of("base", "clean")
    gain = of("patched", "changed") - base
    best = np.mean([max(p["noise"][f"random{i}"]["changed"]["value"] for i in range(RANDOM)) for p in seeds.values()])
    found = {
        "base_clean": clean,
        "base_changed": base,
        "robust_changed": of("robust", "changed"),
        "robust_clean": of("robust", "clean"),
        "gain": gain,
        "clean_loss": clean - of("patched", "clean"),
        "recovered": gain / (of("robust", "changed") - base),
        "random_gain": float(best) - base,
    }
    for label in ("interpolated", "plain", "quantised"):
        found |= {f"{label}_gain": of(label, "changed") - base, f"{label}_loss": clean - of(label, "clean")}
    return {name: round(value, 6) for name, value in found.items()}


class Rows:
    """The rows of one seed.

    Args:
        run: where they are.
        name: of the seed.
    """

    def __init__(self, run: RunDir, name: str) -> None:
        self.name, self.run = name, run
        table = run.rows("outcomes", ["id", "condition", "correct"])
        table = table.filter(pc.starts_with(table["condition"], f"{name}.")).sort_by("id")
        conditions = np.array(table["condition"].to_pylist(), dtype=object)
        right = np.asarray(table["correct"].to_numpy(zero_copy_only=False), bool)
        self.right: dict[str, Flags] = {str(c): right[conditions == c] for c in set(conditions.tolist())}

    def has(self, label: str) -> bool:
        """Whether there are rows of a condition."""
        return f"{self.name}.{label}" in self.right

    def correct(self, label: str) -> Flags:
        """Right predictions, samples in the order of their ids."""
        return self.right[f"{self.name}.{label}"]

    def accuracy(self, label: str) -> dict[str, Any]:
        """With its interval, as JSON."""
        return accuracy(self.correct(label)).to_json()

    def pair(self, label: str, kind: str) -> dict[str, Any]:
        """Accuracy on clean and on changed images."""
        return {"clean": self.accuracy(f"{label}.on-clean"), "changed": self.accuracy(f"{label}.on-{kind}")}

    def kind(self, kind: str) -> dict[str, Any]:
        """One kind of change: what was chosen, accuracies, and the patch against the base on the same images."""
        others = ("quantised", "plain", *(f"random{i}" for i in range(RANDOM))) if kind == "noise" else ()
        found: dict[str, Any] = {label: self.pair(f"{kind}.{label}", kind) for label in (*COMPARED, *others)}
        for what in ("clean", kind):
            pair = self.correct(f"{kind}.base.on-{what}"), self.correct(f"{kind}.patched.on-{what}")
            name = "clean" if what == "clean" else "changed"
            found["patched"][f"{name}_minus_base"] = compare(*pair).difference.to_json()
        gap = found["robust"]["changed"]["value"] - found["base"]["changed"]["value"]
        gain = found["patched"]["changed"]["value"] - found["base"]["changed"]["value"]
        found["recovered"] = round(gain / gap, 4) if gap > 0 else None
        return found | self.chosen(kind)

    def chosen(self, kind: str) -> dict[str, Any]:
        """The patch that was chosen on validation images, and all that were tried."""
        trials = self.table("trials", kind)
        every = [Trial(t["layers"], t["alpha"], t["clean"], t["robust"]) for t in trials]
        base = next(t for t in every if not t.layers)
        best = best_trial(base, [t for t in every if t.layers], ALLOWED) or base
        tried = {f"{t['layers']} layers, alpha {t['alpha']:g}": f"{t['clean']:.3f} / {t['robust']:.3f}" for t in trials}
        return {"layers": best.layers, "alpha": best.alpha, "validation": tried}

    def values(self) -> dict[str, float]:
        """Numbers read off weights."""
        return {row["id"]: row["value"] for row in self.table("signatures", "read")}

    def table(self, table: str, label: str) -> list[dict[str, Any]]:
        """Rows of another table."""
        rows: list[dict[str, Any]] = self.run.rows(table).to_pylist()
        return [row for row in rows if row["condition"] == f"{self.name}.{label}"]

"""Figures of the experiment with weight signatures, from rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from unshaken.harden.surgery.surgery import Trial, best_trial
from unshaken.papers.frame.roles import choosing
from unshaken.papers.frame.rows import Rows
from unshaken.papers.robust_weight_signatures import ALLOWED, RANDOM, RobustWeightSignaturesPaper

COMPARED = ("base", "robust", "patched", "interpolated")


def figures(paper: RobustWeightSignaturesPaper, rows: Rows) -> dict[str, Any]:
    """Means over seeds, and everything by seed."""
    found = {f"seed{seed}": seed_figures(rows.within(f"seed{seed}")) for seed in rows.seeds(paper.seeds)}
    return {"mean": mean_of(found.values()), **found}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Everything that the rows of one seed say."""
    labels = set(rows.labels())
    kinds = [kind for kind in ("noise", "blur", "contrast") if f"{kind}.base.on-clean" in labels]
    found: dict[str, Any] = {kind: kind_figures(rows, kind) for kind in kinds}
    if "both.on-clean" in labels:
        places = {"base": "neither", "noise": "noise.alone", "blur": "blur.alone", "both": "both"}
        found["two_patches"] = {
            label: {kind: rows.accuracy(f"{place}.on-{kind}") for kind in ("clean", "noise", "blur")}
            for label, place in places.items()
        }
        compared = ("base", "robust", "patched", "random0")
        found["transfer"] = {label: pair(rows, f"transfer.{label}", "noise") for label in compared}
    weights = rows.table("weights", "read").to_pylist()
    return found | {"weights": {row["id"]: round(row["value"], 4) for row in weights}}


def kind_figures(rows: Rows, kind: str) -> dict[str, Any]:
    """One kind of change: what was chosen, accuracies, and the patch against the base on the same images."""
    others = ("quantised", "plain", *(f"random{i}" for i in range(RANDOM))) if kind == "noise" else ()
    found: dict[str, Any] = {label: pair(rows, f"{kind}.{label}", kind) for label in (*COMPARED, *others)}
    for what, name in (("clean", "clean"), (kind, "changed")):
        gain = rows.difference(f"{kind}.patched.on-{what}", f"{kind}.base.on-{what}")
        found["patched"][f"{name}_minus_base"] = gain
    base, robust, patched = (found[label]["changed"]["value"] for label in ("base", "robust", "patched"))
    recovered = round((patched - base) / (robust - base), 4) if robust > base else None
    best = chosen_trial(rows, kind)
    with choosing():
        every = trials(rows, kind)
    tried = {f"{t.layers} layers, alpha {t.alpha:g}": f"{t.clean:.3f} / {t.robust:.3f}" for t in every}
    return found | {"recovered": recovered, "layers": best.layers, "alpha": best.alpha, "validation": tried}


def pair(rows: Rows, label: str, kind: str) -> dict[str, Any]:
    """Accuracy on clean and on changed images."""
    return {"clean": rows.accuracy(f"{label}.on-clean"), "changed": rows.accuracy(f"{label}.on-{kind}")}


def trials(rows: Rows, kind: str) -> list[Trial]:
    """Patches that were tried on validation images; the base, which has no layers, among them."""
    found = rows.table("trials", kind).to_pylist()
    return [Trial(t["layers"], t["alpha"], t["clean"], t["robust"]) for t in found]


def chosen_trial(rows: Rows, kind: str) -> Trial:
    """The patch of highest accuracy on changed images among those that cost little; the base where there is none."""
    with choosing():
        every = trials(rows, kind)
    base = next(t for t in every if not t.layers)
    return best_trial(base, [t for t in every if t.layers], ALLOWED) or base


def mean_of(seeds: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Means over seeds of what the rule needs, for noise.

    `recovered` is the ratio of two means, and 0 where the robust weights gain nothing that could be recovered.
    """
    parts = [seed["noise"] for seed in seeds]

    def of(label: str, what: str) -> float:
        return float(np.mean([part[label][what]["value"] for part in parts]))

    base, clean = of("base", "changed"), of("base", "clean")
    gain, gap = of("patched", "changed") - base, of("robust", "changed") - base
    best = np.mean([max(part[f"random{i}"]["changed"]["value"] for i in range(RANDOM)) for part in parts])
    found = {
        "base_clean": clean,
        "base_changed": base,
        "robust_changed": of("robust", "changed"),
        "robust_clean": of("robust", "clean"),
        "gain": gain,
        "clean_loss": clean - of("patched", "clean"),
        "recovered": gain / gap if gap > 0 else 0.0,
        "random_gain": float(best) - base,
    }
    for label in ("interpolated", "plain", "quantised"):
        found |= {f"{label}_gain": of(label, "changed") - base, f"{label}_loss": clean - of(label, "clean")}
    return {name: round(value, 6) for name, value in found.items()}

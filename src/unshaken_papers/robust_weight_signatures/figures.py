"""Figures of the experiment with weight signatures, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.harden.surgery.surgery import Trial, best_trial
from unshaken.papers.effects import values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows
from unshaken_papers.robust_weight_signatures import ALLOWED, KINDS, RobustWeightSignaturesPaper
from unshaken_papers.robust_weight_signatures.verdict import RANDOM, SCALED

COMPARED = ("base", "robust", "patched", "interpolated")
OTHERS = (
    "quantised",
    "plain",
    "removed",
    *(f"scaled-{a:g}" for a in SCALED),
    *(f"random{i}" for i in range(RANDOM)),
)
"""What the patch against noise is compared with, beside these."""


def figures(paper: RobustWeightSignaturesPaper, rows: Rows) -> dict[str, Any]:
    """Means over seeds, and everything by seed."""
    found = {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}
    return {"mean": mean_of(list(found.values())), **found}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Everything that the rows of one seed say."""
    found: dict[str, Any] = {kind: kind_figures(rows, kind) for kind in KINDS}
    places = {"base": "neither", "noise": "noise.alone", "blur": "blur.alone", "both": "both"}
    found["two_patches"] = {
        label: {kind: rows.accuracy(f"{place}.on-{kind}") for kind in ("clean", "noise", "blur")}
        for label, place in places.items()
    }
    compared = ("base", "robust", "patched", "random0")
    found["transfer"] = {label: pair(rows, f"transfer.{label}", "noise") for label in compared}
    found["removed_changes"] = changed_predictions(rows, "noise.removed", "noise.base")
    weights = rows.table("weights", "read").to_pylist()
    return found | {"weights": {row["id"]: round(row["value"], 4) for row in weights}}


def kind_figures(rows: Rows, kind: str) -> dict[str, Any]:
    """One kind of change: what was chosen, accuracies, and the patch against the base on the same images."""
    others = OTHERS if kind == "noise" else ()
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
    mixed = chosen_trial(rows, f"{kind}.mixed").alpha
    chosen = {"layers": best.layers, "alpha": best.alpha, "interpolated_alpha": mixed}
    return found | chosen | {"recovered": recovered, "validation": tried}


def changed_predictions(rows: Rows, label: str, other: str) -> float:
    """The largest share of images, clean or noisy, to which two sets of weights give other classes."""
    shares = []
    for what in ("clean", "noise"):
        one, two = (rows.column("outcomes", f"{name}.on-{what}", "prediction", by="id") for name in (label, other))
        shares.append(float((one != two).mean()))
    return round(max(shares), 6)


def pair(rows: Rows, label: str, kind: str) -> dict[str, Any]:
    """Accuracy on clean and on changed images."""
    return {"clean": rows.accuracy(f"{label}.on-clean"), "changed": rows.accuracy(f"{label}.on-{kind}")}


def trials(rows: Rows, kind: str) -> list[Trial]:
    """Patches that were tried on validation images; the base, which has no layers, among them."""
    found = rows.table("trials", kind).to_pylist()
    return [Trial(t["layers"], t["alpha"], t["clean"], t["robust"]) for t in found]


def chosen_trial(rows: Rows, label: str) -> Trial:
    """The patch of fewest layers within a standard error of the highest accuracy on changed images; the base if none.

    Only patches that cost little clean accuracy are looked at. One standard error is that of the highest accuracy on
    the validation images.
    """
    with choosing():
        every = trials(rows, label)
        images = int(rows.table("trials", label)["images"][0].as_py())
    base, others = next(t for t in every if not t.layers), [t for t in every if t.layers]
    best = best_trial(base, others, ALLOWED)
    if best is None:
        return base
    return best_trial(base, others, ALLOWED, slack=math.sqrt(best.robust * (1 - best.robust) / images)) or base


def mean_of(seeds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over seeds of what the rule needs, for noise.

    `recovered` is the ratio of two means, and 0 where the robust weights gain nothing that could be recovered.
    """

    def of(label: str, what: str) -> float:
        return float(values_of(seeds, "noise", label, what).mean())

    base, clean = of("base", "changed"), of("base", "clean")
    gain, gap = of("patched", "changed") - base, of("robust", "changed") - base
    best = np.max([values_of(seeds, "noise", f"random{i}", "changed") for i in range(RANDOM)], 0).mean()
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

"""Order of truth: no example lies within a radius that was certified. Where one does, this package is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import MODEL as MODEL
from unshaken.run.plan import prepare
from unshaken.store.config import Entry

_SLACK = 1e-6

BROKEN = FlagKind(
    "certificate-broken",
    "an example lies within a radius that was certified",
    "Do not rely on these certificates; report the fault with the run directory.",
)


def subjects(plan: Sequence[Entry]) -> dict[str, str]:
    """The classifier that each condition of a plan is about."""
    return {c.id: getattr(step.method, "subject", MODEL) for step in prepare(plan) for c in step.conditions}


def broken(outcomes: pa.Table, certificates: pa.Table, subject_of: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Certified conditions to the samples with another answer at a distance within their radius.

    Args:
        outcomes: rows with `id`, `condition`, `norm`, `prediction` and `distance`.
        certificates: rows.
        subject_of: see `subjects`; other conditions are left alone.
    """
    moved = outcomes.filter(pc.fill_null(pc.greater(outcomes["distance"], 0.0), False))
    seen = list(
        zip(*(moved[k].to_pylist() for k in ("condition", "id", "norm", "distance", "prediction")), strict=True)
    )
    found: dict[str, list[str]] = {}
    columns = ("condition", "id", "norm", "radius", "prediction")
    held_at = pc.and_(pc.greater(certificates["radius"], 0.0), pc.is_valid(certificates["prediction"]))
    sure = certificates.filter(pc.and_not(held_at, pc.fill_null(certificates["abstained"], False)))
    held = {(c, i): (n, r, p) for c, i, n, r, p in zip(*(sure[k].to_pylist() for k in columns), strict=True)}
    certified = sorted({c for c, _ in held})
    for condition, sample, norm, distance, prediction in seen:
        for name in certified:
            there = held.get((name, sample))
            if there is None or subject_of.get(name) is None or subject_of.get(name) != subject_of.get(condition):
                continue
            if there[0] == norm and distance * (1 + _SLACK) < there[1] and prediction != there[2]:
                found.setdefault(name, []).append(sample)
    return {name: tuple(np.unique(ids).tolist()) for name, ids in found.items()}


def check_order(outcomes: pa.Table, certificates: pa.Table, subject_of: Mapping[str, str]) -> list[Flag]:
    """A flag for each certified condition that an example contradicts; see `broken`."""
    flags = []
    for name, ids in broken(outcomes, certificates, subject_of).items():
        rows = certificates.filter(pc.equal(certificates["condition"], name))
        alpha = float(pc.max(rows["alpha"]).as_py() or 0.0)
        chance = f"about {alpha * len(rows):.2g} are expected by chance (alpha={alpha:g})" if alpha else "none may be"
        text = f"{name}: examples lie within the certified radius of {len(ids)} of {len(rows)} samples; {chance}"
        flags.append(BROKEN.flag(f"{text}: this is an error of unshaken, report it", ids))
    return flags

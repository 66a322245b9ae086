"""Masked gradients, seen from the rows: attacks without gradients that do better than those with."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.flag import Flag, FlagKind

BLACK_BOX_WINS = FlagKind(
    "black-box-wins",
    "attacks without gradients break what attacks with gradients leave standing",
    "Do not use the accuracy under gradient attacks alone. Run --attack auto, transfer from a model "
    "trained alike, and read the worst of all.",
)

BEYOND = 0.002
"""Share of the samples that attacks without gradients may break beyond those with, as AutoAttack warns."""


def check_masking(outcomes: pa.Table, turns: pa.Table) -> list[Flag]:
    """Whether attacks without gradients broke samples in some ball that no attack with gradients broke there.

    A ball in which no search with gradients was run says nothing. One sample alone is put down to luck.

    Args:
        outcomes: of good samples; `broken_by` names the search that broke each.
        turns: what each search did; `gradients` says whether it follows the model's own.
    """
    every = (
        turns.to_pylist()
    )  # at a larger budget a search may have no samples left; it still counts for those it broke before
    follows = {(t["condition"], t["attack"]): t["gradients"] for t in every}
    tried = {t["condition"] for t in every if t["gradients"] and t["forwards"]}
    balls: dict[tuple[str, float], list[dict[str, object]]] = defaultdict(list)
    columns = outcomes.select(["id", "condition", "norm", "eps", "broken_by"])
    for row in columns.filter(pc.is_valid(outcomes["eps"])).to_pylist():
        balls[row["norm"], row["eps"]].append(row)
    flags = []
    for (norm, eps), rows in sorted(balls.items()):
        if not tried & {r["condition"] for r in rows}:
            continue
        blind, known = [], set()
        for row in rows:
            if row["broken_by"] is None:
                continue
            if follows.get((row["condition"], row["broken_by"])) is False:
                blind.append(row)
            else:
                known.add(row["id"])
        only = tuple(str(i) for i in dict.fromkeys(r["id"] for r in blind if r["id"] not in known))
        n = len({r["id"] for r in rows})
        if len(only) > max(1, BEYOND * n):
            names = ", ".join(sorted({str(r["broken_by"]) for r in blind}))
            text = f"{names} breaks {len(only)} of {n} samples at {norm} {eps:.4g} that no attack with gradients breaks"
            flags.append(BLACK_BOX_WINS.flag(f"{text}: gradients may be masked; run --attack auto, or transfer", only))
    return flags

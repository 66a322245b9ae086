"""The figures of the experiment with verification, from its rows alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from unshaken.measure import accuracy, share
from unshaken.papers._smt_run import EPS, PIXELS, SEARCHES
from unshaken.run.store import RunDir

DECIDED = ("safe_general", "adversarial")
VERDICTS = (*DECIDED, "unknown")


class Figures:
    """Verdicts, contradictions, agreement and time.

    Args:
        run: where the rows are.
        limit: seconds within which a verdict counts as decided.
    """

    def __init__(self, run: RunDir, limit: float) -> None:
        self.run, self.limit = run, limit
        self.verdicts = {(r["condition"], r["id"]): r for r in run.rows("verifications").to_pylist()}
        rows = run.rows("outcomes", ["id", "condition", "correct"]).to_pylist()
        self.correct = {(r["condition"], r["id"]): r["correct"] for r in rows if r["condition"].endswith(".clean")}
        self.fooled = {(r["condition"], r["id"]): not r["correct"] for r in rows if ".pgd-" in r["condition"]}

    def of(self, names: list[str]) -> dict[str, Any]:
        """All figures of some nets, one cell for each number of pixels and each eps.

        Args:
            names: of the nets, such as `s0.digits.plain`, whose images are pooled.
        """
        cells = {f"{p}": {f"{e:g}": self.cell(names, p, e) for e in EPS} for p in PIXELS}
        flat = [cell for row in cells.values() for cell in row.values()]
        ten = [self.row(n, "exact", 10, e, i) for n in names for e in EPS for i in self.ids(n)]
        decided = sum(r["verdict"] in DECIDED and r["seconds"] <= self.limit for r in ten)
        return {
            "accuracy": {n.partition(".")[0]: self.accuracy(n) for n in names},
            "cells": cells,
            "contradicted": sum(c["contradicted"] for c in flat),
            "missed_by_exact": sum(c["missed_by_exact"] for c in flat),
            "decided_at_10": share(decided, len(ten)).to_json(),
            "slowest_at_10": round(max(r["seconds"] for r in ten), 3),
        }

    def accuracy(self, name: str) -> dict[str, Any]:
        """Of a net on unchanged images."""
        return accuracy([right for (c, _), right in self.correct.items() if c == f"{name}.clean"]).to_json()

    def cell(self, names: list[str], pixels: int, eps: float) -> dict[str, Any]:
        """Verdicts of one number of pixels at one eps, and what corners, grid and PGD say of the same images."""
        counts: Counter[str] = Counter()
        found: dict[str, Counter[str]] = defaultdict(Counter)
        seconds, contradicted, missed = [], 0, 0
        for name in names:
            for one in self.ids(name):
                exact = self.row(name, "exact", pixels, eps, one)
                others = {way: self.row(name, way, pixels, eps, one)["verdict"] for way in SEARCHES}
                hits = {way: verdict == "adversarial" for way, verdict in others.items()}
                hits["pgd"] = self.fooled[self.condition(name, "pgd", pixels, eps), one]
                for way, hit in hits.items():
                    if others.get(way) != "unknown":
                        found[way]["looked_at"] += 1
                        found[way]["found"] += hit
                        found[way]["missed"] += not hit and exact["verdict"] == "adversarial"
                counts[exact["verdict"]] += 1
                seconds.append(exact["seconds"])
                contradicted += exact["verdict"] == "safe_general" and any(hits.values())
                missed += exact["verdict"] != "adversarial" and any(hits.values())
        return {
            "verdicts": {v: counts[v] for v in VERDICTS},
            "contradicted": contradicted,
            "missed_by_exact": missed,
            "found": {way: dict(found[way]) for way in (*SEARCHES, "pgd") if found[way]["looked_at"]},
            "seconds": {"median": round(float(np.median(seconds)), 4), "most": round(max(seconds), 3)},
        }

    def ids(self, name: str) -> list[str]:
        """Images of a net."""
        first = self.condition(name, "exact", PIXELS[0], EPS[0])
        return [one for condition, one in self.verdicts if condition == first]

    def row(self, name: str, way: str, pixels: int, eps: float, one: str) -> dict[str, Any]:
        """What a mode found of one image."""
        found: dict[str, Any] = self.verdicts[self.condition(name, way, pixels, eps), one]
        return found

    @staticmethod
    def condition(name: str, way: str, pixels: int, eps: float) -> str:
        """As rows name it."""
        return f"{name}.{way}-{pixels}-{eps:.4g}"

    def verified(self, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        """Free pixels at which images are proved safe, of plain and adversarially trained nets, image by image.

        Args:
            pairs: names of a plain net and of one that was adversarially trained.
        """
        rows = {(r["condition"], r["id"]): r for r in self.run.rows("verified_pixels").to_pylist()}
        plain, at = (
            np.array(
                [r["pixels"] for pair in pairs for (c, _), r in sorted(rows.items()) if c == f"{pair[k]}.verified"]
            )
            for k in (0, 1)
        )
        one = next(iter(rows.values()))
        return {
            "plain": round(float(plain.mean()), 2),
            "at": round(float(at.mean()), 2),
            "accuracy_at": {b.partition(".")[0]: self.accuracy(b) for _, b in pairs},
            "more_in_at": int((at > plain).sum()),
            "fewer_in_at": int((at < plain).sum()),
            "images": len(plain),
            "of": one["most"],
            "eps": one["eps"],
        }

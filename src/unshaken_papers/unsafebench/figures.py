"""The figures of the experiment with moderation, from its rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import accuracy
from unshaken.measure.detection.moderation import Counts, always_unsafe_f1, coin_f1, f1_by, f1_figure, f1_gap, macro_f1
from unshaken.measure.statistics.columns import Flags
from unshaken.measure.statistics.intervals import Figure
from unshaken.papers.effects import across_seeds
from unshaken.papers.roles import Roles, choosing
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.unsafebench import ARMS, CASES, LEVELS, MASKED, REAL, SOURCES, UnsafeBenchPaper


def figures(paper: UnsafeBenchPaper, rows: Rows) -> dict[str, Any]:
    """Every figure."""
    return Figures(rows, rows.seeds(paper.seeds)).all()


UNHARMED = {"clean": "clean", "noise_l2_0.01": "noise"}
ATTACKS = ("fgsm", "pgd", "deepfool")


def attacked(name: str, level: str) -> str:
    """The label of the rows of an attack at a radius in steps of 8-bit pixels.

    >>> attacked("pgd", "1"), attacked("deepfool", "1")
    ('pgd-1', 'deepfool-linf-0.00392157')
    """
    return f"{name}-linf-{float(level) / 255:.6g}" if name == "deepfool" else f"{name}-{level}"


def over(right: Sequence[Flags]) -> dict[str, Any]:
    """The share of right answers over seeds, each of which has images of its own."""
    return across_seeds([float(own.mean()) for own in right], low=0.0, step=1 / min(map(len, right)))


class Figures:
    """F1 by arm, category and source; gaps; robust accuracy; policies; false alarms.

    Args:
        rows: of the run.
        seeds: of the run.
    """

    def __init__(self, rows: Rows, seeds: Sequence[int]) -> None:
        self.table, self.seeds = rows, list(seeds)
        self.rows: dict[tuple[int, str, str], dict[str, dict[str, Any]]] = {}
        self.names: dict[int, str] = {}
        for r in rows.table("moderation").to_pylist():
            self.rows.setdefault((r["seed"], r["arm"], r["source"]), {})[r["id"]] = r
            self.names[r["category"]] = r["name"]

    def all(self) -> dict[str, Any]:
        """Every figure."""
        unsafe = self.of(REAL, REAL)[0]
        q = float(unsafe.mean())
        return {
            "f1": {arm: {source: self.cells(arm, source) for source in SOURCES} for arm in ARMS},
            "gap": {arm: self.gap(arm).to_json() for arm in ARMS},
            "gap_by_seed": {arm: {f"s{s}": round(self.gap(arm, [s]).value, 4) for s in self.seeds} for arm in ARMS},
            "baselines": {
                "prevalence": round(q, 4),
                "always_unsafe": round(always_unsafe_f1(q), 4),
                "coin": round(coin_f1(q), 4),
            },
            "uneven": self.uneven(),
            "robust": self.robust(),
            "policies": {"heads": self.left_out()} | {f"negatives-{n}": self.policies(n) for n in ("0.5", "0")},
            "false_alarms": self.alarms(),
            "left_out": "; ".join(self.table.table("left_out").sort_by("id")["reason"].to_pylist()) or "nothing",
        }

    def of(self, arm: str, source: str, seeds: Sequence[int] | None = None) -> tuple[Flags, Flags, NDArray[np.int64]]:
        """Whether images are unsafe and flagged (any margin above 0), and their categories, in the order of ids."""
        rows = [
            r for s in (self.seeds if seeds is None else seeds) for _, r in sorted(self.rows[s, arm, source].items())
        ]
        flagged = np.array([max(r["margins"]) > 0 for r in rows])
        return np.array([r["unsafe"] for r in rows]), flagged, np.array([r["category"] for r in rows], np.int64)

    def cells(self, arm: str, source: str) -> dict[str, Any]:
        """F1 of each category, of all images together, and the mean over categories."""
        unsafe, flagged, category = self.of(arm, source)
        places = [category == k for k in sorted(self.names)]
        found = f1_by([self.names[k] for k in category], unsafe, flagged)
        whole = f1_figure(unsafe, flagged)
        macro = macro_f1(Counts.of(unsafe[here], flagged[here]) for here in places)
        counts = Counts.of(unsafe, flagged)
        return {
            "categories": {name: None if f is None else f.to_json() for name, f in found.items()},
            "pooled": None if whole is None else whole.to_json(),
            "macro": None if macro is None else round(macro, 4),
            "precision": None if counts.precision is None else round(counts.precision, 4),
            "recall": None if counts.recall is None else round(counts.recall, 4),
        }

    def gap(self, arm: str, seeds: Sequence[int] | None = None) -> Any:
        """F1 on photos minus F1 on their copies, pooled over categories, pair by pair."""
        (unsafe, real, _), (_, ai, _) = (self.of(arm, source, seeds) for source in SOURCES)
        return f1_gap(unsafe, real, ai)

    def uneven(self) -> dict[str, Any]:
        """F1 of the categories that are best and worst on the first seed's photos, judged on those of the others."""
        groups = Roles(np.arange(len(self.seeds)) == 0, "photos of the seeds")

        def by_category() -> dict[str, Figure]:
            unsafe, flagged, category = self.of(REAL, REAL, groups.rows(np.array(self.seeds)).tolist())
            found = f1_by([self.names[k] for k in category], unsafe, flagged)
            return {name: f for name, f in found.items() if f is not None}

        with choosing():
            found = by_category()
        judged, order = by_category(), sorted(found, key=lambda name: found[name].value)
        ends = {"worst": order[0], "best": order[-1]} if order else {}
        return {
            **{f"{end}_category": name for end, name in ends.items()},
            **{end: judged[name].to_json() for end, name in ends.items() if name in judged},
        }

    def robust(self) -> dict[str, Any]:
        """Share still judged rightly, of photos that were, under noise and attacks; by the worst of all as well.

        `masking` is what more survives an attack that is given probabilities, than the same attack on logits.
        """
        found: dict[str, Any] = {name: over(self.correct(label)) for name, label in UNHARMED.items()}
        standing: list[Flags] | None = None
        for level in LEVELS:
            hits = {name: self.correct(attacked(name, level)) for name in ATTACKS}
            masked = {name: self.correct(MASKED + attacked(name, level)) for name in ATTACKS}
            every = [*hits.values(), *([] if standing is None else [standing])]
            standing = [np.asarray(np.logical_and.reduce(parts)) for parts in zip(*every, strict=True)]
            found[level] = {name: over(right) for name, right in {**hits, "worst": standing}.items()}
            found[level]["masked"] = {name: over(right) for name, right in masked.items()}
            found[level]["masking"] = {
                name: across_seeds([float(b.mean() - a.mean()) for a, b in zip(hits[name], right, strict=True)])
                for name, right in masked.items()
            }
        return found

    def correct(self, label: str) -> list[Flags]:
        """Correct answers of each seed under a condition, in the order of ids."""
        return [self.table.correct(f"s{s}.{label}") for s in self.seeds]

    def policies(self, negatives: str) -> dict[str, Any]:
        """Right answers of the head that knows the policy, by case and by whether the image is unsafe at all."""
        tables = [self.table.table("policy_answers", f"s{s}.conditional-{negatives}") for s in self.seeds]
        rows = [table.to_pylist() for table in tables]
        found: dict[str, Any] = {}
        for here in product(CASES, ("unsafe", "safe")):
            right = [[r["answer"] == r["target"] for r in own if (r["case"], r["kind"]) == here] for own in rows]
            found[".".join(here)] = over([np.array(own, bool) for own in right])
        return found

    def left_out(self) -> dict[str, Any]:
        """The same of the separate heads from photos, where those of a category left out are not asked."""
        rows = [r for s in self.seeds for r in self.rows[s, REAL, REAL].values() if r["unsafe"]]
        flagged_by_shift = {
            shift: [
                max(m for k, m in enumerate(r["margins"]) if k != (r["category"] + shift) % len(self.names)) > 0
                for r in rows
            ]
            for shift in (0, 1)
        }
        return {
            "own-removed.unsafe": accuracy([not flagged for flagged in flagged_by_shift[0]]).to_json(),
            "other-removed.unsafe": accuracy(flagged_by_shift[1]).to_json(),
        }

    def alarms(self) -> dict[str, Any]:
        """Share of harmless photos above each package's own threshold."""
        found = {}
        for name in self.table.labels("false_alarms"):
            scores, thresholds = self.table.columns("false_alarms", name, "score", "threshold")
            found[name] = share_of(scores >= thresholds)
        return found

"""Figures of the experiment with verification, from rows alone."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.core.part import name_condition
from unshaken.measure import share
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows
from unshaken_papers.smt_verification import (
    DEEP_EPS,
    DEPTHS,
    EPS,
    FGSM_EPS,
    LIMIT,
    PIXELS,
    SEARCHES,
    SMTVerificationPaper,
)

DECIDED = ("safe_general", "adversarial")
VERDICTS = (*DECIDED, "unknown")
FGSM_WAYS = tuple(f"fgsm-{eps:g}" for eps in FGSM_EPS)


def figures(paper: SMTVerificationPaper, rows: Rows) -> dict[str, Any]:
    """By data set; of a user's own model under `own`."""
    found = Figures(rows)
    if "own.clean" in rows.labels():
        return {"own": found.of(["own"])}
    seeds = [f"s{seed}" for seed in rows.seeds(paper.seeds)]
    names = {label.split(".")[1] for label in rows.labels() if label.startswith(f"{seeds[0]}.")}
    measured: dict[str, Any] = {}
    for name in sorted(names, key=lambda n: (n != "digits", n)):
        plain, at = ([f"{seed}.{name}.{net}" for seed in seeds] for net in ("plain", "at"))
        deep = [f"{seed}.{name}.deep" for seed in seeds]
        measured[name] = {
            **found.of(plain),
            "verified_pixels": found.verified(plain, at),
            "layers": found.layers(deep),
            "distances": compared(rows, found, plain),
        }
    return measured


class Figures:
    """Verdicts, contradictions, agreement and time.

    Args:
        rows: of the run.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.verdicts = {(r["condition"], r["id"]): r for r in rows.table("verifications").to_pylist()}
        attacked = rows.table("outcomes").select(["condition", "id", "method", "correct"]).to_pylist()
        self.fooled = {(r["condition"], r["id"]): not r["correct"] for r in attacked if r["method"] == "pgd"}

    def of(self, names: Sequence[str]) -> dict[str, Any]:
        """All figures of some networks, one cell for each number of pixels and each eps.

        Args:
            names: of the networks, such as `s0.digits.plain`, whose images are pooled.
        """
        cells = {f"{p}": {f"{e:g}": self.cell(names, p, e) for e in EPS} for p in PIXELS}
        flat = [cell for row in cells.values() for cell in row.values()]
        ten = [self.row(n, "exact", 10, e, i) for n in names for e in EPS for i in self.ids(n)]
        decided = sum(r["verdict"] in DECIDED and r["seconds"] <= LIMIT for r in ten)
        return {
            "accuracy": self.accuracy(names),
            "cells": cells,
            "contradicted": sum(c["contradicted"] for c in flat),
            "missed_by_exact": sum(c["missed_by_exact"] for c in flat),
            "decided_at_10": share(decided, len(ten)).to_json(),
            "slowest_at_10": round(max(r["seconds"] for r in ten), 3),
        }

    def accuracy(self, names: Sequence[str]) -> dict[str, Any]:
        """Accuracy of networks on unchanged images, by seed."""
        return {name.partition(".")[0]: self.rows.accuracy(f"{name}.clean") for name in names}

    def cell(self, names: Sequence[str], pixels: int, eps: float) -> dict[str, Any]:
        """Verdicts of one number of pixels at one eps, and what corners, grid and PGD find on the same images."""
        counts: Counter[str] = Counter()
        found: dict[str, Counter[str]] = defaultdict(Counter)
        seconds, contradicted, missed = [], 0, 0
        for name, one in ((n, i) for n in names for i in self.ids(n)):
            exact = self.row(name, "exact", pixels, eps, one)
            others = {way: self.row(name, way, pixels, eps, one)["verdict"] for way in SEARCHES}
            hits = {way: verdict == "adversarial" for way, verdict in others.items()}
            hits["pgd"] = self.fooled[name_condition(f"{name}.pgd-{pixels}", "linf", eps), one]
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
        """Images of a network."""
        return [one for c, one in self.verdicts if c == name_condition(f"{name}.exact-{PIXELS[0]}", "linf", EPS[0])]

    def row(self, name: str, way: str, pixels: int, eps: float, one: str) -> dict[str, Any]:
        """Result of a mode on one image."""
        found: dict[str, Any] = self.verdicts[name_condition(f"{name}.{way}-{pixels}", "linf", eps), one]
        return found

    def layers(self, names: Sequence[str]) -> dict[str, Any]:
        """Share of the regions of deep networks with an example in which the search at a layer finds one.

        Args:
            names: of the networks, whose images are pooled.
        """
        found: Counter[str] = Counter()
        regions, contradicted = 0, 0
        for name in names:
            ids = [one for c, one in self.verdicts if c == name_condition(f"{name}.exact", "linf", DEEP_EPS[0])]
            for eps, one in ((e, i) for e in DEEP_EPS for i in ids):
                exact = self.verdicts[name_condition(f"{name}.exact", "linf", eps), one]["verdict"]
                ways = [f"layer-{depth}" for depth in (0, *DEPTHS)]
                hits = {
                    w: self.verdicts[name_condition(f"{name}.{w}", "linf", eps), one]["verdict"] == "adversarial"
                    for w in ways
                }
                hits["hidden"] = any(hits[f"layer-{depth}"] for depth in DEPTHS)
                contradicted += exact == "safe_general" and any(hits.values())
                if exact == "adversarial":
                    regions += 1
                    found.update(w for w, hit in hits.items() if hit)
        ways = [*(f"layer-{depth}" for depth in (0, *DEPTHS)), "hidden"]
        shares = {w: share(found[w], regions).to_json() for w in ways} if regions else {}
        return {"accuracy": self.accuracy(names), "regions": regions, "contradicted": contradicted, "found": shares}

    def verified(self, plain: Sequence[str], at: Sequence[str]) -> dict[str, Any]:
        """Free pixels at which images are proved safe, of plain and adversarially trained networks, image by image.

        Args:
            plain: names of the plain networks.
            at: names of those that were adversarially trained, in the same order.
        """
        in_plain, in_at = (
            np.concatenate([self.rows.column("verified_pixels", f"{n}.verified", "pixels", by="id") for n in own])
            for own in (plain, at)
        )
        one = self.rows.table("verified_pixels", f"{plain[0]}.verified").to_pylist()[0]
        return {
            "plain": round(float(in_plain.mean()), 2),
            "at": round(float(in_at.mean()), 2),
            "accuracy_at": self.accuracy(at),
            "more_in_at": int((in_at > in_plain).sum()),
            "fewer_in_at": int((in_at < in_plain).sum()),
            "images": len(in_plain),
            "of": one["most"],
            "eps": one["eps"],
        }


def compared(rows: Rows, found: Figures, names: Sequence[str]) -> dict[str, Any]:
    """The solver's examples (10 free pixels, any value) beside those of attacks on all pixels, network by network.

    `more_often` is the solver's share of images with an example less the attack's, FGSM at the radius of its highest;
    `farther` by how much the attack's examples lie farther away in l2, of images for which both have one.

    Args:
        rows: of the run.
        found: its figures.
        names: of the networks, one a seed.
    """
    success: dict[str, list[float]] = defaultdict(list)
    more: dict[str, list[float]] = defaultdict(list)
    farther: dict[str, list[float]] = defaultdict(list)
    for name in names:
        solver = {i: found.row(name, "exact", 10, max(EPS), i) for i in found.ids(name)}
        near = {i: row["l2"] for i, row in solver.items() if row["verdict"] == "adversarial"}
        success["solver"].append(len(near) / len(solver))
        tables = {way: rows.table("distances", f"{name}.{way}").to_pylist() for way in (*FGSM_WAYS, "jsma")}
        for way, table in tables.items():
            success[way].append(float(np.mean([r["fooled"] for r in table])))
        best = max(FGSM_WAYS, key=lambda way: success[way][-1])
        for label, way in (("fgsm", best), ("jsma", "jsma")):
            more[label].append(success["solver"][-1] - success[way][-1])
            both = [r["l2"] - near[r["id"]] for r in tables[way] if r["fooled"] and r["id"] in near]
            farther[label] += [float(np.mean(both))] if both else []
    return {
        "success": {way: round(float(np.mean(values)), 4) for way, values in success.items()},
        "more_often": {label: across_seeds(values) for label, values in more.items()},
        "farther": {
            label: across_seeds(farther[label], low=-math.inf, high=math.inf) for label in more if farther[label]
        },
    }

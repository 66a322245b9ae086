"""Figures of the experiment with imbalanced classes, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import influence
from unshaken.measure.robustness.disparity_theory import gaussian_optimum, stable_rule
from unshaken.measure.robustness.fairness import Disparity, disparity, gap_change
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Flags, Numbers, Rows
from unshaken_papers.accuracy_disparity import (
    BUDGETS,
    CAUCHY,
    CENTRE,
    FEWER,
    GAUSS_EPS,
    PHOTO_BUDGETS,
    RATIOS,
    REMEDIES,
    AccuracyDisparityPaper,
)

DRAWN = ("gauss-", "cauchy-")
"""Models of points that each seed draws anew."""


def figures(paper: AccuracyDisparityPaper, rows: Rows) -> dict[str, Any]:
    """The four parts, as far as they were run; or two models of the user's own."""
    if "standard.clean" in rows.labels():
        return {"own": own_pair(rows, paper.eps)}
    found = Figures(rows, rows.seeds(paper.seeds), rows.seeds(paper.net_seeds))
    return {
        "gaussian": found.gaussian(),
        "cauchy": found.cauchy(),
        "photos": found.photos(),
        "nets": found.nets(),
        "classes": {row["id"]: row["name"] for row in rows.table("classes").to_pylist()},
    }


def own_pair(rows: Rows, eps: float) -> dict[str, Any]:
    """Disparity of both models over all classes, clean and attacked, and what changes between them."""
    labels = truth(rows, "standard.clean")
    found: dict[str, Any] = {}
    for part, word in (("clean", "clean"), (f"pgd-linf-{eps:.6g}", "attacked")):
        before, after = (rows.correct(f"{name}.{part}") for name in ("standard", "robust"))
        found[word] = {
            "standard": summary(disparity(before, labels)),
            "robust": summary(disparity(after, labels)),
            "change": gap_change(before, after, labels).to_json(),
        }
    return found


def summary(found: Disparity) -> dict[str, Any]:
    """A disparity as JSON."""
    return {
        "gap": found.gap.to_json(),
        "gap_by_chance": round(found.by_chance, 4),
        "deviation": found.deviation.to_json(),
        "worst": found.worst.to_json(),
        "worst_class": found.worst_class,
        "best_class": found.best_class,
    }


def truth(rows: Rows, label: str) -> NDArray[np.int64]:
    """Labels under a condition, in the order of ids."""
    return rows.column("outcomes", label, "label", by="id")


def gap_of(right: Flags, labels: NDArray[np.int64]) -> Numbers:
    """The accuracy of the majority, label 0, less that of the minority, as a column `[N]` whose mean it is."""
    of_classes = np.stack([labels == 0, labels == 1], 1)
    return influence(np.concatenate([of_classes, of_classes & right[:, None]], 1), lambda m: m[2] / m[0] - m[3] / m[1])


class Figures:
    """Figures over seeds; a disparity is always majority minus minority, on a balanced test set.

    Args:
        rows: of the run.
        seeds: of the linear models.
        net_seeds: of the networks.
    """

    def __init__(self, rows: Rows, seeds: Sequence[int], net_seeds: Sequence[int]) -> None:
        self.rows, self.seeds, self.net_seeds = rows, seeds, net_seeds
        self.linear = rows.arrays("classwise", "label", "correct", "robust")

    def gaussian(self) -> dict[str, Any]:
        """Measured beside the closed form, by ratio and radius."""
        found: dict[str, Any] = {}
        for ratio, eps in product(RATIOS, GAUSS_EPS):
            theory, standard = (gaussian_optimum([CENTRE], ratio=ratio, eps=e).outcome for e in (eps, 0))
            plain, names = ([f"s{s}.gauss-{ratio}-{e:g}" for s in self.seeds] for e in (0, eps))
            found.setdefault(str(ratio), {})[f"{eps:g}"] = {
                **self.outcome(names),
                "theory": round(theory.disparity, 4),
                "robust_theory": round(theory.robust_disparity, 4),
                "change": self.change(plain, names),
                "change_theory": round(theory.disparity - standard.disparity, 4),
            }
        return found

    def cauchy(self) -> dict[str, Any]:
        """The change from the standard to the robust threshold, beside the closed form."""
        found: dict[str, Any] = {}
        for ratio in RATIOS:
            standard, robust = ([f"s{s}.cauchy-{ratio}-{eps:g}" for s in self.seeds] for eps in (0, 1))
            before, after = (stable_rule(CAUCHY, ratio=ratio, eps=eps).disparity for eps in (0.0, 1.0))
            found[str(ratio)] = {
                "standard": self.outcome(standard)["disparity"],
                "robust": self.outcome(robust)["disparity"],
                "change": self.change(standard, robust),
                "change_theory": round(after - before, 4),
            }
        return found

    def photos(self) -> dict[str, Any]:
        """Linear models of images, by ratio and radius; at the largest ratio with the remedy beside."""
        found: dict[str, Any] = {}
        for ratio, (norm, eps) in product(FEWER, PHOTO_BUDGETS):
            names = [f"s{s}.photos-{ratio}-{norm}-{eps:g}" for s in self.seeds]
            part, fair = self.outcome(names), [f"{n}.balanced" for n in names]
            if fair[0] in self.linear:
                part["balanced"] = self.outcome(fair) | {"change": self.change(names, fair)}
            found.setdefault(str(ratio), {})[f"{norm}-{eps:g}"] = part
        return found

    def nets(self) -> dict[str, Any]:
        """Perceptrons, by ratio and radius in 255ths; at the largest of both with the remedies beside."""
        found: dict[str, Any] = {}
        for ratio, budget in product(FEWER, BUDGETS) if self.net_seeds else ():
            plain, names = ([f"s{s}.nets-{ratio}-{b}" for s in self.net_seeds] for b in (0, budget))
            part = self.outcome(names)
            if budget:
                part["change"] = self.change(plain, names)
            for remedy in REMEDIES if (ratio, budget) == (max(FEWER), max(BUDGETS)) else ():
                own = [f"{n}.{remedy}" for n in names]
                change = {"change": self.change(names, own), "robust_change": self.change(names, own, "robust")}
                part[remedy] = self.outcome(own) | change
            found.setdefault(str(ratio), {})[str(budget)] = part
        return found

    def outcome(self, names: Sequence[str]) -> dict[str, Any]:
        """Disparity, standard and robust, and the classes' accuracies, as means over seeds."""
        found: dict[str, Any] = {}
        for column, prefix in (("correct", ""), ("robust", "robust_")):
            columns = [self.columns(name, column) for name in names]
            found[f"{prefix}disparity"] = self.over([gap_of(*one) for one in columns], names)
            for label, word in ((0, "majority"), (1, "minority")):
                rates = [right[labels == label].mean() for right, labels in columns]
                found[f"{prefix}{word}"] = round(float(np.mean(rates)), 4)
        one_sided = [n for n in names if self.one_sided(n)]
        if one_sided:
            found["degenerate_seeds"] = len(one_sided)
        return found

    def one_sided(self, name: str) -> bool:
        """Whether a model predicts one class for every sample."""
        right, labels = self.columns(name, "correct")
        predicted = np.where(right, labels, 1 - labels)
        return bool((predicted == predicted[0]).all())

    def change(self, before: Sequence[str], after: Sequence[str], column: str = "correct") -> dict[str, Any]:
        """Disparity after minus before, on the same samples, over seeds."""
        pairs = [(self.columns(a, column), self.columns(b, column)) for a, b in zip(before, after, strict=True)]
        return self.over([gap_of(*two) - gap_of(*one) for one, two in pairs], after, most=2.0)

    def over(self, gaps: Sequence[Numbers], names: Sequence[str], most: float = 1.0) -> dict[str, Any]:
        """The mean gap over seeds; where they were shown the same images, as all but drawn points are, over these too.

        Args:
            gaps: by `gap_of`, one a seed.
            names: of the models.
            most: end of the range.
        """
        if names[0].partition(".")[2].startswith(DRAWN):
            return across_seeds([float(gap.mean()) for gap in gaps], low=-most, high=most)
        return across_seeds(gaps, low=-most, high=most, influence=True)

    def columns(self, name: str, column: str) -> tuple[Flags, NDArray[np.int64]]:
        """Flags and labels of a model.

        Args:
            name: of a linear model or of a network.
            column: `correct`, or `robust`: correct within the radius of its training.
        """
        if name in self.linear:
            part = self.linear[name]
            return part[column], part["label"]
        budget = int(name.split("-")[2].partition(".")[0])
        attacked = column == "robust" and budget
        label = f"pgd-linf-{budget / 255:.6g}" if attacked else "clean"
        return self.rows.correct(f"{name}.{label}"), truth(self.rows, f"{name}.clean")

"""The figures of the experiment with Mahalanobis distances, from its rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unshaken.measure.detection.detection import fpr95_id_accept
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Numbers
from unshaken.papers.rows import Rows, means
from unshaken_papers.mahalanobis import MahalanobisPaper
from unshaken_papers.mahalanobis.choice import Cell, Pair, choose
from unshaken_papers.mahalanobis.rules import ATTACKED, KNOWN, LAST, NEAR, PAIRS, TRAININGS


def figures(paper: MahalanobisPaper, rows: Rows) -> dict[str, Any]:
    """All figures, over the seeds: far and near images, attacks, wrong labels, new classes, and accuracies."""
    seeds = [Seed(rows.within(f"s{seed}"), (0.0, *paper.steps)) for seed in rows.seeds(paper.seeds)]
    far = [name for name in seeds[0].sets if name != NEAR]

    def over(figures: Callable[..., dict[str, Any]], *given: str) -> dict[str, Any]:
        parts = [figures(seed, *given) for seed in seeds]
        return means(parts, low=0, high=1, differences=("ahead", "gained"), influence=True)

    return {
        "accuracy": over(Seed.accuracy),
        "abnormal": {name: over(Seed.detects, name) for name in seeds[0].sets},
        "adversarial": {name: over(Seed.detects_attack, name) for name in ATTACKED},
        "examples": {name: sum(int(seed.attacked(name).abnormal[1].sum()) for seed in seeds) for name in ATTACKED},
        "fitted": {name: over(Seed.refitted, name) for name in far},
        "trained": {group: {name: over(Seed.plain, name, group) for name in far} for group in TRAININGS},
        "new_classes": {
            **over(lambda seed: added(seed.classes)),
            "classes": len({row["label"] for row in seeds[0].classes}),
        },
    }


class Seed:
    """The networks of one seed, and AUROC and FPR at 95 % accepted of their detectors.

    Args:
        rows: of the seed.
        steps: of the input, none among them.
    """

    def __init__(self, rows: Rows, steps: Sequence[float]) -> None:
        self.steps, self.classes = steps, rows.grouped("classes")["main.classes"]
        names = ("detector", "score", "prediction", "label", "split", "id")
        self.cells = {name: Cell.of(*own.values()) for name, own in rows.arrays("scores", *names).items()}
        known = {"normal", *ATTACKED, *(f"noisy-{a}" for a in ATTACKED)}
        self.sets = sorted(
            name for group, _, name in (c.partition(".") for c in self.cells) if group == "main" and name not in known
        )
        self.layers = [n for n in self.cells["main.normal"].scores if n.startswith("layer") and "@" not in n]

    def accuracy(self) -> dict[str, Any]:
        """Accuracy on normal images: of the main network, of the nearest class in each layer, of the other networks."""
        cell = self.cells["main.normal"]
        return {
            "softmax": cell.right().mean(),
            **{name: (cell.predictions[name] == cell.labels).mean() for name in self.layers},
            **{name: self.cells[f"{name}.normal"].right().mean() for name in TRAININGS},
        }

    def unlike(self, name: str, group: str = "main") -> Pair:
        """Normal images against a set that no class is right for."""
        normal, abnormal = (self.cells[f"{group}.{n}"] for n in ("normal", name))
        return Pair([(normal, np.ones(len(normal.labels), bool))], (abnormal, np.ones(len(abnormal.labels), bool)))

    def attacked(self, name: str) -> Pair:
        """Examples that fool the network against the same images clean and noisy, both classified rightly."""
        noisy, moved = (self.cells[f"main.{n}"] for n in (f"noisy-{name}", name))
        clean = self.cells["main.normal"].first(len(moved.labels))
        rows = clean.right() & noisy.right() & ~moved.right()
        return Pair([(clean, rows), (noisy, rows)], (moved, rows))

    def detects(self, name: str) -> dict[str, Any]:
        """Every method on images that no class is right for; `own` chooses weights and step on samples of the set."""
        pair = self.unlike(name)
        own = choose(pair, self.layers, self.steps)
        return measured({**self.single(pair), **self.chosen(pair), "own": own.scores(pair)}, pair.auroc)

    def detects_attack(self, name: str) -> dict[str, Any]:
        """Every method on adversarial examples."""
        pair = self.attacked(name)
        return measured({**self.single(pair), **self.chosen(pair)}, pair.auroc)

    def plain(self, name: str, group: str) -> dict[str, Any]:
        """The methods that choose nothing."""
        pair = self.unlike(name, group)
        return measured(self.single(pair), pair.auroc)

    def single(self, pair: Pair) -> dict[str, tuple[Numbers, Numbers]]:
        """Scores by the softmax, each layer and the ensemble of equal weights, at no step."""
        scores = {n: pair.values([n]) for n in ("msp", *self.layers, "equal")}
        return {(LAST if n == self.layers[-1] else n): (a[:, 0], b[:, 0]) for n, (a, b) in scores.items()}

    def chosen(self, pair: Pair) -> dict[str, tuple[Numbers, Numbers]]:
        """Scores by the methods whose weights and step are chosen on FGSM examples."""
        known = self.attacked(KNOWN)
        ways = {
            "step": (self.layers[-1:], self.steps),
            "ensemble": (self.layers, (0.0,)),
            "published": (self.layers, self.steps),
        }
        return {name: choose(known, *way).scores(pair) for name, way in ways.items()}

    def refitted(self, name: str) -> dict[str, Any]:
        """AUROC where Gaussians were fitted with wrong labels, and what it gained over those fitted with right ones."""
        right, wrong = (self.plain(name, group) for group in ("main", "fitted"))
        return {
            m: {"auroc": wrong[m]["auroc"], "gained": wrong[m]["auroc"] - right[m]["auroc"]} for m in (LAST, "equal")
        }


def measured(
    scores: dict[str, tuple[Numbers, Numbers]], auroc: Callable[[Numbers, Numbers], Numbers]
) -> dict[str, Any]:
    """AUROC, as a column by image, and FPR of each method, and how far some are ahead of others."""
    found: dict[str, Any] = {
        name: {"auroc": auroc(*pair), "fpr95": fpr95_id_accept(*pair, resamples=1).value}
        for name, pair in scores.items()
    }
    pairs = [(a, b) for a, b in PAIRS if a in found and b in found]
    return {**found, "ahead": {f"{a}-{b}": found[a]["auroc"] - found[b]["auroc"] for a, b in pairs}}


def added(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How well all classes are separated once the last ones were added, with shared covariance and without.

    `area` lies under the curve of the accuracy on old classes over that on new ones, as the new ones are favoured more
    and more: the share of pairs of an old and a new image that are both right at some favour in common.
    """
    found: dict[str, dict[str, float]] = {}
    for way in dict.fromkeys(r["way"] for r in rows):
        label, fresh, old, new, gap = (
            np.array([r[k] for r in rows if r["way"] == way]) for k in ("label", "fresh", "old", "new", "gap")
        )
        predicted = np.where(gap > 0, new, old)
        right = np.where(fresh, new, old) == label  # among the old or the new classes alone
        shares = right[~fresh].mean() * right[fresh].mean()
        area = shares * auroc(gap[~fresh & right], gap[fresh & right]).value if shares else 0.0
        found[way] = {
            "area": area,
            "old": float((predicted == label)[~fresh].mean()),
            "new": float((predicted == label)[fresh].mean()),
        }
    gains = {f"{k}_gained": found["shared"][k] - found["euclidean"][k] for k in ("area", "new")}
    return {**found, "ahead": gains}

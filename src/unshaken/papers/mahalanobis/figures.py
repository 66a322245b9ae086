"""The figures of the experiment with Mahalanobis distances, from its rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.measure import over_seeds
from unshaken.measure.detection.detection import fpr95_id_accept
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Numbers
from unshaken.papers.frame.rows import Rows
from unshaken.papers.mahalanobis import MahalanobisPaper
from unshaken.papers.mahalanobis.choice import Cell, Pair, choose
from unshaken.papers.mahalanobis.rules import ATTACKED, KNOWN, LAST, PAIRS, TRAININGS


def figures(paper: MahalanobisPaper, rows: Rows) -> dict[str, Any]:
    """All figures, over the seeds."""
    return Figures(rows, list(rows.seeds(paper.seeds)), paper.steps).all()


class Figures:
    """AUROC and FPR at 95 % accepted, over the seeds.

    Args:
        rows: of the run.
        seeds: of the networks.
        steps: of the input, beside none.
    """

    def __init__(self, rows: Rows, seeds: list[int], steps: Sequence[float]) -> None:
        self.seeds, self.steps = seeds, (0.0, *steps)
        self.cells = {name: Cell.of(own) for name, own in rows.grouped("scores").items()}
        self.classes = rows.grouped("classes")
        first = f"s{seeds[0]}.main."
        known = {"normal", *ATTACKED, *(f"noisy-{a}" for a in ATTACKED)}
        self.sets = sorted(n for c in self.cells if (n := c.removeprefix(first)) not in (c, *known))
        self.far = [name for name in self.sets if name != "near"]
        scores = self.cells[f"{first}normal"].scores
        self.layers = [n for n in scores if n.startswith("layer") and "@" not in n]

    def all(self) -> dict[str, Any]:
        """Out of distribution, adversarial, wrong labels, new classes, and how well networks and means classify."""
        normal = [self.cells[f"s{s}.main.normal"] for s in self.seeds]
        accuracy = {"softmax": [c.right().mean() for c in normal]}
        accuracy |= {n: [(c.predictions[n] == c.labels).mean() for c in normal] for n in self.layers}
        accuracy |= {n: [self.cells[f"s{s}.{n}.normal"].right().mean() for s in self.seeds] for n in TRAININGS}
        return {
            "accuracy": {n: over_seeds(v, low=0, high=1).to_json() for n, v in accuracy.items()},
            "abnormal": {
                name: means([self.judged(s, self.unlike(s, name), own=True) for s in self.seeds]) for name in self.sets
            },
            "adversarial": {
                name: means([self.judged(s, self.attacked(s, name)) for s in self.seeds]) for name in ATTACKED
            },
            "examples": {name: self.examples(name) for name in ATTACKED},
            "fitted": {name: means([self.refitted(s, name) for s in self.seeds]) for name in self.far},
            "trained": {
                group: {
                    name: means([self.plain(s, self.unlike(s, name, group)) for s in self.seeds]) for name in self.far
                }
                for group in TRAININGS
            },
            "new_classes": {
                **means([added(self.classes[f"s{s}.main.classes"]) for s in self.seeds]),
                "classes": len({r["label"] for r in self.classes[f"s{self.seeds[0]}.main.classes"]}),
            },
        }

    def unlike(self, seed: int, name: str, group: str = "main") -> Pair:
        """Normal images against a set that no class is right for."""
        normal, abnormal = (self.cells[f"s{seed}.{group}.{n}"] for n in ("normal", name))
        return Pair([(normal, np.ones(len(normal.labels), bool))], (abnormal, np.ones(len(abnormal.labels), bool)))

    def attacked(self, seed: int, name: str) -> Pair:
        """Examples that fool the network against the same images clean and noisy, both classified rightly."""
        noisy, moved = (self.cells[f"s{seed}.main.{n}"] for n in (f"noisy-{name}", name))
        clean = self.cells[f"s{seed}.main.normal"].first(len(moved.labels))
        rows = clean.right() & noisy.right() & ~moved.right()
        return Pair([(clean, rows), (noisy, rows)], (moved, rows))

    def examples(self, name: str) -> int:
        """Adversarial examples that count, over all seeds."""
        return int(sum(self.attacked(s, name).abnormal[1].sum() for s in self.seeds))

    def judged(self, seed: int, pair: Pair, *, own: bool = False) -> dict[str, Any]:
        """Every method on one set; weights and step are chosen on FGSM examples, or (`own`) on samples of the set."""
        known = self.attacked(seed, KNOWN)
        ways = {
            "step": choose(known, self.layers[-1:], self.steps),
            "ensemble": choose(known, self.layers, (0.0,)),
            "published": choose(known, self.layers, self.steps),
        }
        if own:
            ways["own"] = choose(pair, self.layers, self.steps)
        return measured({**self.single(pair), **{name: way.scores(pair) for name, way in ways.items()}})

    def plain(self, seed: int, pair: Pair) -> dict[str, Any]:
        """The methods that choose nothing."""
        return measured(self.single(pair))

    def single(self, pair: Pair) -> dict[str, tuple[Numbers, Numbers]]:
        """Scores by the softmax, each layer and the ensemble of equal weights, at no step."""
        scores = {n: pair.values([n]) for n in ("msp", *self.layers, "equal")}
        return {(LAST if n == self.layers[-1] else n): (a[:, 0], b[:, 0]) for n, (a, b) in scores.items()}

    def refitted(self, seed: int, name: str) -> dict[str, Any]:
        """AUROC where Gaussians were fitted with wrong labels, and what it gained over those fitted with right ones."""
        right, wrong = (self.plain(seed, self.unlike(seed, name, group)) for group in ("main", "fitted"))
        return {
            m: {"auroc": wrong[m]["auroc"], "gained": wrong[m]["auroc"] - right[m]["auroc"]} for m in (LAST, "equal")
        }


def measured(scores: dict[str, tuple[Numbers, Numbers]]) -> dict[str, Any]:
    """AUROC and FPR of each method, and how far some are ahead of others."""
    found: dict[str, Any] = {
        name: {"auroc": auroc(*pair).value, "fpr95": fpr95_id_accept(*pair, resamples=1).value}
        for name, pair in scores.items()
    }
    pairs = [(a, b) for a, b in PAIRS if a in found and b in found]
    return {**found, "ahead": {f"{a}-{b}": found[a]["auroc"] - found[b]["auroc"] for a, b in pairs}}


def added(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How well all classes are told apart once the last ones were added, with shared covariance and without.

    `area` lies under the curve of the accuracy on old classes over that on new ones, as the new ones are favoured more
    and more: the share of pairs of an old and a new image that are both right at some favour in common.
    """
    found: dict[str, dict[str, float]] = {}
    for way in dict.fromkeys(r["way"] for r in rows):
        label, fresh, old, new, gap = (
            np.array([r[k] for r in rows if r["way"] == way]) for k in ("label", "fresh", "old", "new", "gap")
        )
        said = np.where(gap > 0, new, old)
        right = np.where(fresh, new, old) == label  # among the old or the new classes alone
        shares = right[~fresh].mean() * right[fresh].mean()
        area = shares * auroc(gap[~fresh & right], gap[fresh & right]).value if shares else 0.0
        found[way] = {
            "area": area,
            "old": float((said == label)[~fresh].mean()),
            "new": float((said == label)[fresh].mean()),
        }
    gains = {f"{k}_gained": found["shared"][k] - found["euclidean"][k] for k in ("area", "new")}
    return {**found, "ahead": gains}


def means(parts: Sequence[dict[str, Any]], low: float = 0.0) -> dict[str, Any]:
    """Nested shares of each seed as means over seeds; differences, under `ahead` or `gained`, may be below 0."""
    found: dict[str, Any] = {}
    for name, value in parts[0].items():
        least = -1.0 if name in ("ahead", "gained") else low
        values = [p[name] for p in parts]
        found[name] = (
            means(values, least) if isinstance(value, dict) else over_seeds(values, low=least, high=1).to_json()
        )
    return found

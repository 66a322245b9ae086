"""The figures of the experiment with Mahalanobis distances, from its rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.detect.engine.logistic import logistic_regression
from unshaken.measure import over_seeds
from unshaken.measure.detection.detection import fpr95_id_accept
from unshaken.measure.detection.ranking import auroc
from unshaken.papers.frame.roles import Roles, choosing
from unshaken.papers.frame.rows import Rows, means
from unshaken.papers.mahalanobis import ATTACKED, EPS, RATES, STEPPED, TUNED, MahalanobisPaper

Numbers = NDArray[np.float64]


def figures(paper: MahalanobisPaper, rows: Rows) -> dict[str, Any]:
    """All figures, over the seeds."""
    return Figures(rows, list(rows.seeds(paper.seeds))).all()


class Cell:
    """Scores of one set by one network: `[N, detectors]`, and which rows serve for tuning."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        names = list(dict.fromkeys(r["detector"] for r in rows))
        each = {n: [r for r in rows if r["detector"] == n] for n in names}
        self.scores = {n: np.array([r["score"] for r in each[n]]) for n in names}
        self.said = {n: np.array([r["prediction"] for r in each[n]]) for n in names}
        first = each[names[0]]
        self.labels = np.array([-1 if r["label"] is None else r["label"] for r in first])
        self.roles = Roles(np.array([r["split"] == "tune" for r in first]))

    def right(self) -> NDArray[np.bool_]:
        """Whether the model says the label."""
        return np.asarray(self.said["msp"] == self.labels)


class Figures:
    """AUROC and FPR at 95 % accepted, over the seeds.

    Args:
        rows: of the run.
        seeds: of the networks.
    """

    def __init__(self, rows: Rows, seeds: list[int]) -> None:
        self.seeds = seeds
        self.cells = {name: Cell(own) for name, own in rows.grouped("scores").items()}
        special = {*ATTACKED, "normal", *(n for n in (c.split(".", 1)[1] for c in self.cells) if "noisy" in n)}
        first = f"s{seeds[0]}."
        names = [n.removeprefix(first) for n in self.cells if n.startswith(first) and ".noise0" not in n]
        self.sets = sorted(n for n in names if n not in special)

    def all(self) -> dict[str, Any]:
        """Out of distribution, adversarial, label noise, and how well the network and the nearest mean classify."""
        layers = [n for n in self.cells[f"s{self.seeds[0]}.normal"].scores if n.startswith("layer")]
        normal = [self.cells[f"s{s}.normal"] for s in self.seeds]
        accuracy = {"softmax": over_seeds([c.right().mean() for c in normal]).to_json()}
        accuracy |= {n: over_seeds([(c.said[n] == c.labels).mean() for c in normal]).to_json() for n in layers}
        return {
            "accuracy": accuracy,
            "abnormal": {name: means([self.unlike(s, name, layers) for s in self.seeds]) for name in self.sets},
            "adversarial": {name: means([self.attacked(s, name, layers) for s in self.seeds]) for name in ATTACKED},
            "label_noise": {name: self.noise(name, layers[-1]) for name in self.sets},
            "noise_accuracy": {f"{r:g}": self.noise_accuracy(r, layers[-1]) for r in (0.0, *RATES)},
            "layers": len(layers),
        }

    def unlike(self, seed: int, name: str, layers: list[str]) -> dict[str, dict[str, float]]:
        """Of one network on a set that no class is right for."""
        normal, abnormal = (self.cells[f"s{seed}.{n}"] for n in ("normal", name))
        return judged(
            [(normal, np.ones(len(normal.labels), bool))], (abnormal, np.ones(len(abnormal.labels), bool)), layers
        )

    def attacked(self, seed: int, name: str, layers: list[str]) -> dict[str, dict[str, float]]:
        """Of one network: examples that fool it against the same images clean and noisy, both classified rightly."""
        size = name.split("-")[1]
        clean, noisy, moved = (self.cells[f"s{seed}.{n}"] for n in ("normal", f"noisy-{size}", name))
        rows = clean.right() & noisy.right() & ~moved.right()
        return judged([(clean, rows), (noisy, rows)], (moved, rows), layers)

    def noise(self, name: str, last: str) -> dict[str, Any]:
        """AUROC by the share of wrong labels in the fit."""
        found: dict[str, Any] = {}
        for rate in (0.0, *RATES):
            prefix = f"noise{rate:g}." if rate else ""
            for method in (last, "equal"):
                values = []
                for seed in self.seeds:
                    normal, abnormal = (self.cells[f"s{seed}.{prefix}{n}"] for n in ("normal", name))
                    values.append(auroc(*(c.roles.held_out(c.scores[method]) for c in (normal, abnormal))).value)
                key = "last" if method == last else method
                found.setdefault(key, {})[f"{rate:g}"] = over_seeds(values).to_json()
        return found

    def noise_accuracy(self, rate: float, last: str) -> dict[str, Any]:
        """How often the nearest mean of the last layer is the class, by the share of wrong labels in the fit."""
        cells = [self.cells[f"s{s}.{f'noise{rate:g}.' if rate else ''}normal"] for s in self.seeds]
        return over_seeds([(c.said[last] == c.labels).mean() for c in cells]).to_json()


def judged(
    normal: list[tuple[Cell, NDArray[np.bool_]]], abnormal: tuple[Cell, NDArray[np.bool_]], layers: list[str]
) -> dict[str, dict[str, float]]:
    """AUROC and FPR of every method, those that are tuned included; judged on what is not for tuning.

    Args:
        normal: sets with the rows of each that count.
        abnormal: as normal.
        layers: names of the single layers.
    """

    def parts(method: str) -> tuple[Numbers, Numbers]:
        own = [c.roles.rows(c.scores[method], rows) for c, rows in normal]
        cell, rows = abnormal
        return np.concatenate(own), cell.roles.rows(cell.scores[method], rows)

    plain = [n for n in abnormal[0].scores if not n.startswith("step-")]
    pairs: dict[str, tuple[Numbers, Numbers]] = {n: parts(n) for n in plain}
    steps = [layers[-1], *(f"step-{e:g}" for e in EPS)]
    with choosing():
        best, tuning = max(steps, key=lambda n: auroc(*parts(n)).value), [parts(n) for n in layers]
    pairs[STEPPED] = parts(best)
    pairs[TUNED] = weighted(tuning, [parts(n) for n in layers])
    return {n: {"auroc": auroc(*p).value, "fpr95": fpr95_id_accept(*p, resamples=1).value} for n, p in pairs.items()}


def weighted(tune: list[tuple[Numbers, Numbers]], test: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Scores of several layers as one, with weights by logistic regression.

    Args:
        tune: normal and abnormal scores of each layer, to learn from.
        test: as tune, to be scored.
    """
    own = [np.stack([t[k] for t in tune], 1) for k in (0, 1)]
    mean, deviation = own[0].mean(0), own[0].std(0)
    x = torch.from_numpy((np.concatenate(own) - mean) / deviation)
    w = logistic_regression(x, torch.arange(len(x)) >= len(own[0]))[0].numpy()
    normal, abnormal = ((np.stack([t[k] for t in test], 1) - mean) / deviation @ w for k in (0, 1))
    return normal, abnormal

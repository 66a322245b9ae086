"""Figures of the experiment with overlapping classes, from rows alone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import calibration_error, nll, over_seeds, softmax, top_label
from unshaken.measure.calibration.temperature import expected_kl, fit_temperature
from unshaken.papers.frame.roles import choosing
from unshaken.papers.frame.rows import Numbers, Rows, stacked
from unshaken.papers.mixup_calibration import CLASSES, OVERLAPS, RATES, SEPARATIONS, MixupCalibrationPaper

WAYS = ("raw", "ts", "oracle")


def figures(paper: MixupCalibrationPaper, rows: Rows) -> dict[str, Any]:
    """The three parts."""
    return Figures(rows, list(rows.seeds(paper.seeds))).all()


class Figures:
    """The figures of all seeds.

    Args:
        rows: of the run.
        seeds: the seeds.
    """

    def __init__(self, rows: Rows, seeds: list[int]) -> None:
        self.rows, self.seeds = rows, seeds
        self.conditions = set(rows.labels())

    def all(self) -> dict[str, Any]:
        """The three parts."""
        return {"pairs": self.pairs(), "gaussians": self.gaussians(), "photos": self.photos()}

    def pairs(self) -> dict[str, Any]:
        """Expected KL by number of classes and overlap, raw, at a fitted and at the oracle's temperature."""
        found: dict[str, Any] = {}
        for k in CLASSES:
            for rho in OVERLAPS:
                names = [f"s{s}.pairs-{k}-{rho:g}" for s in self.seeds]
                if f"{names[0]}.erm.test" not in self.conditions:
                    continue
                per = {net: [self.kl(name, net) for name in names] for net in ("erm", "mixup")}
                part: dict[str, Any] = {
                    net: {
                        **{
                            f"kl_{way}": over_seeds([v[way] for v in values]).to_json()
                            for way in ("raw", "ts", "oracle")
                        },
                        "temperature": round(float(np.median([v["temperature"] for v in values])), 3),
                        "train_accuracy": round(float(np.mean([v["train_accuracy"] for v in values])), 4),
                        "train_margin": round(float(np.mean([v["train_margin"] for v in values])), 2),
                    }
                    for net, values in per.items()
                }
                for way in WAYS:
                    gaps = [a[way] - b[way] for a, b in zip(per["erm"], per["mixup"], strict=True)]
                    part[f"gap_{way}"] = {**over_seeds(gaps).to_json()}
                    part[f"least_gap_{way}"] = round(min(gaps), 4)
                found.setdefault(str(k), {})[f"{rho:g}"] = part
        return found

    def kl(self, name: str, net: str) -> dict[str, float]:
        """Of one network."""
        own = self.temperature(f"{name}.{net}")
        train, test = (self.rows.logits(f"{name}.{net}.{split}") for split in ("train", "test"))
        posterior = stacked(self.rows.table("posteriors", f"{name}.posterior")["posterior"])
        oracle = fit_temperature(test[0], posterior).value
        values = {"raw": 1.0, "ts": own, "oracle": oracle}
        found = {way: expected_kl(posterior, test[0], t, resamples=1).value for way, t in values.items()}
        return {**found, "temperature": own, **interpolation(*train)}

    def temperature(self, label: str, method: Literal["converged", "official"] = "converged") -> float:
        """The temperature of a network, fitted on held-out images."""
        with choosing():
            return fit_temperature(*self.rows.logits(f"{label}.held"), method=method).value

    def gaussians(self) -> dict[str, Any]:
        """Two classes: likelihood and calibration, with a converged and an unconverged temperature."""
        found: dict[str, Any] = {}
        for separation in SEPARATIONS:
            for net in ("erm", "mixup", "mixup4"):
                labels = [f"s{s}.gauss-{separation:g}.{net}" for s in self.seeds]
                if f"{labels[0]}.test" not in self.conditions:
                    continue
                rows = [self.scores(label, "test", official=True) for label in labels]
                found.setdefault(f"{separation:g}", {})[net] = averaged(rows)
        return found

    def photos(self) -> dict[str, Any]:
        """Photos with flipped training labels, judged by noisy and by clean test labels; one seed."""
        found: dict[str, Any] = {}
        for rate in RATES:
            for net in ("erm", "mixup"):
                label = f"s{self.seeds[0]}.photos-{rate:g}.{net}"
                if f"{label}.test" not in self.conditions:
                    continue
                part = {
                    f"{kind}_labels": self.scores(label, split)
                    for kind, split in (("noisy", "test"), ("clean", "clean"))
                }
                part["train"] = interpolation(*self.rows.logits(f"{label}.train"))
                found.setdefault(f"{rate:g}", {})[net] = part
        return found

    def scores(self, label: str, split: str, *, official: bool = False) -> dict[str, Any]:
        """NLL, ECE, ACE and MCE of a network, raw and scaled, and its error."""
        z, labels = self.rows.logits(f"{label}.{split}")
        ways = {"raw": 1.0, "ts": self.temperature(label)}
        if official:
            ways["official_ts"] = self.temperature(label, "official")
        found: dict[str, Any] = {}
        for way, t in ways.items():
            e = calibration_error(*top_label(softmax(z / t), labels), resamples=1, simulations=1)
            values = {
                "nll": nll(z / t, labels, resamples=1).value,
                "ece": e.ece.value,
                "ace": e.average_gap,
                "mce": e.max_gap,
            }
            found[way] = {k: round(v, 4) for k, v in values.items()} | {"temperature": round(t, 4)}
        found["error"] = round(float((z.argmax(1) != labels).mean()), 4)
        return found


def interpolation(logits: Numbers, labels: NDArray[np.int64]) -> dict[str, float]:
    """How far a network knows its training labels: the share that it repeats, and by how much they lead on average."""
    rows = np.arange(len(labels))
    rest = logits.copy()
    rest[rows, labels] = -np.inf
    margin = logits[rows, labels] - rest.max(1)
    return {"train_accuracy": round(float((margin > 0).mean()), 4), "train_margin": round(float(margin.mean()), 4)}


def averaged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of nested numbers; of temperatures, which have no upper end, the median."""
    found: dict[str, Any] = {}
    for key, value in parts[0].items():
        values = [p[key] for p in parts]
        middle = np.median if key == "temperature" else np.mean
        found[key] = averaged(values) if isinstance(value, dict) else round(float(middle(values)), 4)
    return found

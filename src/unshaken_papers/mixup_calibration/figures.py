"""Figures of the experiment with overlapping classes, from rows alone."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress

from unshaken.measure import calibration_error, nll, over_seeds, softmax, top_label
from unshaken.measure.calibration.temperature import expected_kl, fit_temperature
from unshaken.papers.effects import values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Numbers, Rows, stacked
from unshaken_papers.mixup_calibration import CLASSES, OVERLAPS, RATES, SEPARATIONS, MixupCalibrationPaper

WAYS = ("raw", "ts", "oracle")


def figures(paper: MixupCalibrationPaper, rows: Rows) -> dict[str, Any]:
    """All parts."""
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
        """All parts."""
        parts = {"pairs": self.pairs(), "gaussians": self.gaussians(), "photos": self.photos()}
        return parts | {"evenly": self.evenly()}

    def pairs(self) -> dict[str, Any]:
        """Expected KL by number of classes and overlap, raw, at a fitted and at the oracle's temperature."""
        found: dict[str, Any] = {}
        for k, rho in product(CLASSES, OVERLAPS):
            names = [f"s{s}.pairs-{k}-{rho:g}" for s in self.seeds]
            if f"{names[0]}.erm.test" not in self.conditions:
                continue
            of = {net: partial(values_of, [self.kl(name, net) for name in names]) for net in ("erm", "mixup")}
            part: dict[str, Any] = {
                net: {
                    **{f"kl_{way}": over_seeds(own(way)).to_json() for way in ("raw", "ts", "oracle")},
                    "temperature": round(float(np.median(own("temperature"))), 3),
                    "train_accuracy": round(float(own("train_accuracy").mean()), 4),
                    "train_margin": round(float(own("train_margin").mean()), 2),
                }
                for net, own in of.items()
            }
            for way in WAYS:
                gaps = of["erm"](way) - of["mixup"](way)
                part[f"gap_{way}"] = over_seeds(gaps).to_json()
                part[f"least_gap_{way}"] = round(float(gaps.min()), 4)
            found.setdefault(str(k), {})[f"{rho:g}"] = part
        return found

    def kl(self, name: str, net: str) -> dict[str, float]:
        """Figures of one network."""
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

    def evenly(self) -> dict[str, Any]:
        """With as many points of each class: KL at the oracle's temperature, and lines in `ln k` and in `k`."""
        counts = [k for k in CLASSES if f"s{self.seeds[0]}.even-{k}.erm.test" in self.conditions]
        found = [[self.kl(f"s{s}.even-{k}", "erm") for k in counts] for s in self.seeds]
        kl = np.array([[one["oracle"] for one in own] for own in found])
        part: dict[str, Any] = {
            str(k): {
                "kl_oracle": over_seeds(kl[:, i]).to_json(),
                "train_accuracy": round(float(np.mean([own[i]["train_accuracy"] for own in found])), 4),
            }
            for i, k in enumerate(counts)
        }
        if len(counts) < 3:  # two points lie on every line
            return part
        logs = [linregress(np.log(counts), own) for own in kl]
        lines = [linregress(counts, own) for own in kl]
        better = [a.rvalue**2 - b.rvalue**2 for a, b in zip(logs, lines, strict=True)]
        return part | {
            "slope": over_seeds([fit.slope for fit in logs]).to_json(),
            "r2_logarithm": round(float(np.mean([fit.rvalue**2 for fit in logs])), 4),
            "r2_linear": round(float(np.mean([fit.rvalue**2 for fit in lines])), 4),
            "better_by": over_seeds(better).to_json(),
        }

    def photos(self) -> dict[str, Any]:
        """Photos with flipped training labels, judged by noisy and by clean test labels.

        `gap_ts` is the NLL of plain training less that of mixup, on noisy labels, each at a fitted temperature;
        `growth_ts` what it exceeds the gap without wrong labels by.
        """
        found: dict[str, Any] = {}
        gaps: dict[float, Numbers] = {}
        for rate in RATES:
            if f"s{self.seeds[0]}.photos-{rate:g}.mixup.test" not in self.conditions:
                continue
            parts = {net: [self.photo(f"s{s}.photos-{rate:g}.{net}") for s in self.seeds] for net in ("erm", "mixup")}
            plain, mixed = (values_of(own, "noisy_labels", "ts", "nll") for own in parts.values())
            gaps[rate] = plain - mixed
            found[f"{rate:g}"] = {
                **{net: averaged(values) for net, values in parts.items()},
                "gap_ts": over_seeds(gaps[rate]).to_json(),
                "growth_ts": over_seeds(gaps[rate] - gaps[min(RATES)]).to_json(),
            }
        return found

    def photo(self, label: str) -> dict[str, Any]:
        """Figures of one network."""
        sets = {"noisy_labels": "test", "clean_labels": "clean"}
        found = {kind: self.scores(label, split) for kind, split in sets.items()}
        return found | {"train": interpolation(*self.rows.logits(f"{label}.train"))}

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

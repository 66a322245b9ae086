"""The figures of the experiment with watermarks and generated images, from its rows alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unshaken.detect.watermark.purify import equivalent_noise
from unshaken.generate import DDPM, UNet, UNetSettings
from unshaken.measure import Figure, paired_difference, share
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.detection.thresholds import best_threshold, precision, threshold_at, two_shares
from unshaken.measure.detection.wasserstein_bound import wasserstein_bound
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means
from unshaken.papers.ai_image_detector_limits import (
    AMPLITUDES,
    ATTACKED,
    DENOISED,
    FRACTIONS,
    MODES,
    NOISES,
    PEAKS,
    STRENGTHS,
    AIImageDetectorLimitsPaper,
)
from unshaken.papers.frame.roles import Roles, choosing
from unshaken.papers.frame.rows import Flags, Rows, share_of

FALSE_ALARMS = 0.01
"""Of real images, for which the threshold of the detector of generated images is set."""
SPOOF_FALSE_ALARMS = 0.1
BASE_RATE = 0.01
"""Share of generated images where a precision is given."""


def figures(paper: AIImageDetectorLimitsPaper, rows: Rows) -> dict[str, Any]:
    """Every figure."""
    return Figures(rows, paper.seeds).all()


class Figures:
    """Errors, bounds, and what attacks do.

    Args:
        rows: of the run.
        seeds: number of repetitions.
    """

    def __init__(self, rows: Rows, seeds: int) -> None:
        self.seeds = range(seeds)
        table = rows.table("detector_scores")
        names = np.array(table["condition"].to_pylist())
        order = np.argsort(names, kind="stable")
        table, names = table.take(order), names[order]
        starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
        columns = {c: table[c].to_numpy() for c in ("abnormal", "fold", "score", "change", "psnr")}
        self.parts = {
            str(names[a]): {c: v[a:b] for c, v in columns.items()}
            for a, b in zip(starts, [*starts[1:], len(names)], strict=True)
        }

    def all(self) -> dict[str, Any]:
        """Everything, by part."""
        chain = DDPM(UNet(UNetSettings(image=(1, 8, 8), width=4, levels=(1,))))
        parts: dict[str, dict[float, float]] = {
            "noise": {s: s for s in NOISES},
            "denoised": {s: s for s in DENOISED},
            "diffusion": {f: equivalent_noise(chain, f) for f in FRACTIONS},
        }
        return {
            **{
                part: {
                    f"a{a}": {f"{k:g}": self.errors(f"{part}.a{a}.{k:g}", s) for k, s in deviations.items()}
                    for a in AMPLITUDES
                }
                for part, deviations in parts.items()
            },
            "substitute": self.substitute(),
            "blend": {label: self.blend(label) for label in ("spread", "dct", "learned")},
            "generated": self.generated(),
        }

    def each(self, name: str) -> list[dict[str, Any]]:
        """The rows of a condition, by repetition."""
        return [self.parts[f"s{seed}.{name}"] for seed in self.seeds]

    def errors(self, name: str, s: float) -> dict[str, Any]:
        """AUROC and `e0 + e1` of marked and clean images after the same noise, beside the bound.

        Thresholds are fitted on one half of each repetition's images and judged on the other. The margin is that of the
        worst repetition, in standard errors of `e0 + e1` at the bound.
        """
        counts, margins, bounds = np.zeros((2, 2), int), [], []
        for part in self.each(name):
            marked, roles, scores = part["abnormal"], Roles(part["fold"] == 0), part["score"]
            with choosing():
                threshold = best_threshold(roles.rows(scores, ~marked), roles.rows(scores, marked))
            missed = roles.rows(scores, marked) <= threshold
            alarms = roles.rows(scores, ~marked) > threshold
            bounds.append(wasserstein_bound(part["change"], s))
            least = bounds[-1].error
            error = math.sqrt((least / 2) * (1 - least / 2) * (1 / len(missed) + 1 / len(alarms)))
            above = float(missed.mean() + alarms.mean()) - least
            margins.append(above / error if error > 0 else 0.0 if above == 0 else math.copysign(99.0, above))
            counts += [[missed.sum(), len(missed)], [alarms.sum(), len(alarms)]]
        pooled = {c: np.concatenate([p[c] for p in self.each(name)]) for c in ("abnormal", "score", "psnr", "change")}
        return {
            "auroc": auroc(pooled["score"][~pooled["abnormal"]], pooled["score"][pooled["abnormal"]]).to_json(),
            "error": two_shares(counts).to_json(),
            "bound": round(float(np.mean([b.error for b in bounds])), 5),
            "auroc_bound": round(float(np.mean([b.auroc for b in bounds])), 5),
            "distance": round(float(pooled["change"].mean()), 4),
            "s": round(s, 4),
            "margin": round(min(min(margins), 99.0), 2),
            "psnr": round(float(pooled["psnr"].mean()), 2),
        }

    def substitute(self) -> dict[str, Any]:
        """How well substitutes learned, and the bits that the detector reads off attacked images."""
        right = [(p["score"] > 0) == p["abnormal"] for p in self.each("substitute.held")]
        found: dict[str, Any] = {"accuracy": {f"seed{i}": share_of(r) for i, r in enumerate(right)}}
        for kind in ("evade", "spoof"):
            bits = {
                way: np.concatenate([p["score"] for p in self.each(f"substitute.{kind}-{way}")])
                for way in ("none", "uniform", *MODES)
            }
            draws = bootstrap_means(np.stack(list(bits.values()), 1))
            found[kind] = {
                way: bootstrap_figure(float(v.mean()), draws[:, i], len(v)).to_json()
                for i, (way, v) in enumerate(bits.items())
            }
            found[kind] |= {
                f"{mode}_beyond_uniform": paired_difference(bits["uniform"], bits[mode]).to_json() for mode in MODES
            }
            for mode in MODES:
                psnr = np.concatenate([p["psnr"] for p in self.each(f"substitute.{kind}-{mode}")])
                found[kind][f"{mode}_psnr"] = round(float(psnr.mean()), 2)
        return found

    def blend(self, label: str) -> dict[str, Any]:
        """Shares of images blended with noise that pass for marked, by the noise's peak, and over all of them."""
        hits: dict[str, list[Flags]] = {"marked": [], "control": []}
        found: dict[str, Any] = {}
        thresholds = [threshold_at(p["score"], SPOOF_FALSE_ALARMS) for p in self.each(f"blend.{label}.clean")]
        for kind, lists in hits.items():
            for peak in PEAKS:
                parts = self.each(f"blend.{label}.{kind}.{peak:g}")
                passed = np.concatenate([p["score"] > t for p, t in zip(parts, thresholds, strict=True)])
                found.setdefault(f"{peak:g}", {})[kind] = share_of(passed)
                lists.append(passed)
        marked, control = (np.mean(np.stack(lists), 0) for lists in (hits["marked"], hits["control"]))
        return found | {"difference": paired_difference(control, marked).to_json()}

    def generated(self) -> dict[str, Any]:
        """The detector of generated images on images as they are, processed and attacked."""
        names = ["clean", *(f"{n}.{s:g}" for n, strengths in STRENGTHS.items() for s in strengths)]
        found = {n.replace(".", "_", 1): self.processed(n) for n in names}
        return found | {f"pgd_{eps}": self.processed(f"pgd.{eps}") for eps in ATTACKED}

    def processed(self, name: str) -> dict[str, Any]:
        """One condition: who is processed, both kinds or one; and alarms at the threshold set on clean real images."""
        ways: dict[str, list[float]] = {"alike": [], "only_generated": [], "only_real": []}
        counts, psnr = np.zeros((2, 2), int), []
        for now, clean in zip(self.each(f"generated.{name}"), self.each("generated.clean"), strict=True):
            roles = Roles(clean["fold"] == 0, name)
            with choosing():
                threshold = threshold_at(roles.rows(clean["score"]), FALSE_ALARMS)
            made0, real0 = (roles.rows(clean["score"], clean["abnormal"] == k) for k in (True, False))
            shown = Roles(now["fold"] == 0, name)
            made, real = (shown.held_out(now["score"], now["abnormal"] == k) for k in (True, False))
            pairs = {"alike": (real, made), "only_generated": (real0, made), "only_real": (real, made0)}
            for way, (a, b) in pairs.items():
                ways[way].append(auroc(a, b).value)
            counts += [[(made > threshold).sum(), len(made)], [(real > threshold).sum(), len(real)]]
            psnr.append(float(now["psnr"].mean()))
        figures: dict[str, Any] = {
            way: Figure(float(np.mean(v)), min(v), max(v), len(v), f"range of {len(v)} seeds").to_json()
            for way, v in ways.items()
        }
        found, alarms = (share(int(k), int(n)) for k, n in counts)
        figures |= {"found": found.to_json(), "false_alarms": alarms.to_json(), "psnr": round(float(np.mean(psnr)), 2)}
        if found.value + alarms.value > 0:
            figures["precision"] = precision(found, alarms, BASE_RATE).to_json()
        return figures

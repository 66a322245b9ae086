"""The figures of the experiment with watermarks and generated images, from its rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.detect.watermark.purify import equivalent_noise
from unshaken.generate import DDPM, UNet, UNetSettings
from unshaken.measure import Figure, over_seeds, paired_difference
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.detection.wasserstein_bound import wasserstein_bound
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import bootstrap_means, clopper_pearson
from unshaken.measure.statistics.means import mean_figure
from unshaken.papers.roles import Roles, choosing
from unshaken.papers.rows import Flags, Rows, share_of
from unshaken_papers.ai_image_detector_limits import AIImageDetectorLimitsPaper
from unshaken_papers.ai_image_detector_limits.rules import (
    AMPLITUDES,
    DENOISED,
    FEATURE_NOISES,
    FLIPS,
    FRACTIONS,
    GRID,
    MODES,
    NOISES,
    PEAKS,
    STRONG,
)  # fmt: skip

SPOOF_FALSE_ALARMS = 0.1


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
        self.parts = rows.arrays("detector_scores", "abnormal", "fold", "score", "change", "psnr")

    def all(self) -> dict[str, Any]:
        """Everything, by part."""
        chain = DDPM(UNet(UNetSettings(image=(1, 8, 8), width=4, levels=(1,))))
        whole = [f"a{a}" for a in AMPLITUDES]
        parts: dict[str, tuple[dict[float, float], list[str]]] = {
            "noise": ({s: s for s in NOISES}, whole),
            "denoised": ({s: s for s in DENOISED}, whole),
            "diffusion": ({f: equivalent_noise(chain, f) for f in FRACTIONS}, [whole[0], STRONG]),
        }
        return {
            **{
                part: {
                    mark: {f"{k:g}": self.errors(f"{part}.{mark}.{k:g}", s) for k, s in deviations.items()}
                    for mark in marks
                }
                for part, (deviations, marks) in parts.items()
            },
            "distance": {mark: self.distance(mark) for mark in (*whole, STRONG)},
            "substitute": self.substitute(),
            "blend": {label: self.blend(label) for label in ("spread", "dct", STRONG)},
            "deepfakes": self.deepfakes(),
        }

    def distance(self, mark: str) -> dict[str, Any]:
        """Mean l2 norm of what a mark changes of an image, an upper bound of W, over the repetitions."""
        means = [part["change"].mean() for part in self.each(f"noise.{mark}.0")]
        return over_seeds(means, low=0).to_json()

    def each(self, name: str) -> list[dict[str, Any]]:
        """The rows of a condition, by repetition."""
        return [self.parts[f"s{seed}.{name}"] for seed in self.seeds]

    def pooled(self, name: str, column: str) -> NDArray[Any]:
        """A column of a condition, the rows of all repetitions."""
        return np.concatenate([part[column] for part in self.each(name)])

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
        marked, scores = self.pooled(name, "abnormal"), self.pooled(name, "score")
        return {
            "auroc": auroc(scores[~marked], scores[marked]).to_json(),
            "error": two_shares(counts).to_json(),
            "bound": round(float(np.mean([b.error for b in bounds])), 5),
            "auroc_bound": round(float(np.mean([b.auroc for b in bounds])), 5),
            "distance": round(float(self.pooled(name, "change").mean()), 4),
            "s": round(s, 4),
            "margin": round(min(min(margins), 99.0), 2),
            "psnr": round(float(self.pooled(name, "psnr").mean()), 2),
        }

    def substitute(self) -> dict[str, Any]:
        """How well substitutes learned, and the bits that the detector reads off attacked images."""
        right = [(p["score"] > 0) == p["abnormal"] for p in self.each("substitute.held")]
        found: dict[str, Any] = {"accuracy": {f"seed{i}": share_of(r) for i, r in enumerate(right)}}
        for kind in ("evade", "spoof"):
            bits = {way: self.pooled(f"substitute.{kind}-{way}", "score") for way in ("none", "uniform", *MODES)}
            draws = bootstrap_means(np.stack(list(bits.values()), 1))
            found[kind] = {
                way: mean_figure(v, low=0.0, high=1.0, draws=draws[:, i]).to_json()
                for i, (way, v) in enumerate(bits.items())
            }
            for mode in MODES:
                beyond = paired_difference(bits["uniform"], bits[mode], low=-1.0, high=1.0)
                found[kind][f"{mode}_beyond_uniform"] = beyond.to_json()
            for mode in MODES:
                psnr = self.pooled(f"substitute.{kind}-{mode}", "psnr")
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
        return found | {"difference": paired_difference(control, marked, low=-1.0, high=1.0).to_json()}

    def deepfakes(self) -> dict[str, Any]:
        """Figures of classifiers of swapped images: AUROC, and the noise on features that turns at most 1 % of answers.

        `margin` is that of the worst classifier: how far `TPR - FPR` is below its bound, in standard errors.
        """
        found: dict[str, Any] = {}
        areas: dict[float, list[float]] = {}
        reaches: dict[float, list[float]] = {}
        margins: list[float] = []
        for noise in FEATURE_NOISES:
            label = f"deepfake.n{noise:g}"
            clean = self.each(f"{label}.clean")
            flips = [[float(part["score"].mean()) for part in self.each(f"{label}.flips.{s:g}")] for s in GRID]
            by_seed = [list(shares) for shares in zip(*flips, strict=True)]
            areas[noise] = [auroc(p["score"][~p["abnormal"]], p["score"][p["abnormal"]]).value for p in clean]
            reaches[noise] = [reach(shares) for shares in by_seed]
            margins += [worst_margin(part, shares) for part, shares in zip(clean, by_seed, strict=True)]
            found[f"n{noise:g}"] = {
                "auroc": over_seeds(areas[noise], low=0, high=1).to_json(),
                "robustness": over_seeds([GRID[0] * 2**r for r in reaches[noise]], low=0).to_json(),
                "distance": over_seeds([float(p["change"].mean()) for p in clean], low=0).to_json(),
            }
        none, most = FEATURE_NOISES[0], FEATURE_NOISES[-1]
        gained, lost = (np.subtract(a, b) for a, b in ((reaches[most], reaches[none]), (areas[none], areas[most])))
        return {
            **found,
            "gained": over_seeds(gained).to_json(),
            "lost": over_seeds(lost, low=-1, high=1).to_json(),
            "margin": round(min(margins), 2),
        }


def reach(shares: Sequence[float]) -> float:
    """The largest noise of the grid up to which at most 1 % of answers are turned, as log2 of its share of the least.

    Args:
        shares: of answers turned, one for each noise of the grid; below the least noise the reach is one step less.
    """
    within = next((k for k, share in enumerate(shares) if share > FLIPS), len(shares))
    return (within - 1) / 2


def worst_margin(part: Mapping[str, Any], shares: Sequence[float]) -> float:
    """How far `TPR - FPR` of a classifier is below its bound, at the noise of the grid where that is least.

    Args:
        part: its scores without noise, and the distances of features of real and of swapped images.
        shares: of answers turned, one for each noise.

    Returns:
        In standard errors of `TPR - FPR`.
    """
    flagged, made = part["score"] > 0, part["abnormal"]
    shares_flagged = [float(flagged[rows].mean()) for rows in (made, ~made)]
    bound = min(wasserstein_bound(part["change"], s).advantage(share) for s, share in zip(GRID, shares, strict=True))
    count = int(made.sum())
    error = math.sqrt(sum(max(p * (1 - p), 1 / (4 * count)) / count for p in shares_flagged))
    return (bound - (shares_flagged[0] - shares_flagged[1])) / error


def best_threshold(clean: Numbers, marked: Numbers) -> float:
    """The threshold with the least misses plus false alarms; above it is an alarm."""
    values = np.concatenate([[-np.inf], np.unique(np.concatenate([clean, marked]))])
    missed = np.searchsorted(np.sort(marked), values, side="right") / len(marked)
    alarms = 1 - np.searchsorted(np.sort(clean), values, side="right") / len(clean)
    best = int((missed + alarms).argmin())
    pair = values[best : best + 2]  # with the one above, if there is any
    return float(pair.mean() if np.isfinite(pair).all() else pair[0])


def threshold_at(clean: Numbers, rate: float) -> float:
    """The least threshold among the scores that at most a share of them is above."""
    ordered = np.sort(clean)
    return float(ordered[math.ceil(len(ordered) * (1 - rate) - 1e-9) - 1])


def two_shares(counts: NDArray[np.int_]) -> Figure:
    """The sum of two shares, with the sum of their exact intervals at 97.5%, which together hold at 95%.

    Args:
        counts: `[2, 2]`: successes and trials of each.
    """
    low, high = clopper_pearson(counts[:, 0], counts[:, 1], level=0.975)
    value = float((counts[:, 0] / counts[:, 1]).sum())
    return Figure(value, float(low.sum()), float(high.sum()), int(counts[:, 1].sum()), "clopper-pearson 2 x 97.5%")

"""Accuracies on factors and their line, calibration with a temperature, abnormal images and cues, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unshaken.detect.scores.msp import msp
from unshaken.explain.biases.cue_bias import cue_bias
from unshaken.measure import auroc, calibration_error, fit_temperature, softmax, top_label
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.correlation import correlation
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows, means
from unshaken_papers.clip_holistic import (
    FACTORS,
    MILD,
    OTHERS,
    PROMPTS,
    STRONG,
    TEXT_HEAD,
    TUNED,
    ZERO_SHOT,
    ClipHolisticPaper,
)

BINS = 15


def figures(paper: ClipHolisticPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and what is judged over all seeds."""
    parts = rows.repetitions(paper.seeds)
    seeds = {name: seed_figures(part) for name, part in parts.items()}
    lowered = means([calibration(part) for part in parts.values()], low=-1, high=1)
    found: dict[str, Any] = {**seeds, "line": line(seeds), "ece": lowered}
    prompts = [own["base"]["prompts"] for own in seeds.values()]
    few, many = (f"{count}.auroc" for count in (PROMPTS[0], PROMPTS[-1]))
    if all(few in own for own in prompts):
        found["prompts"] = across_seeds(values_of(prompts, few) - values_of(prompts, many))
    shapes = [(own["base"]["shape"], own[TUNED]["shape"]) for own in seeds.values()]
    if all(one is not None and other is not None for one, other in shapes):
        found["shape_lost"] = across_seeds([one["value"] - other["value"] for one, other in shapes])
    return found


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Each arm, and what fine-tuning changes."""
    found: dict[str, Any] = {arm: arm_figures(rows, arm) for arm in (*ZERO_SHOT, TUNED, TEXT_HEAD)}
    found["gain"] = rows.difference(f"{TUNED}.clean", "base.clean")
    found["cost"] = rows.difference("base.held", f"{TUNED}.held")
    return found


def arm_figures(rows: Rows, arm: str) -> dict[str, Any]:
    """Accuracies, AUROC and shape bias of one arm."""
    found: dict[str, Any] = {
        name: rows.accuracy(f"{arm}.{name}") for name in ("clean", "held", *FACTORS, *MILD, *STRONG)
    }
    scale = float(rows.table("scales", arm)["scale"][0].as_py()) if arm in ZERO_SHOT else 1.0
    there = [name for name in ("noise", *OTHERS) if f"{arm}.{name}" in rows.labels()]
    found["abnormal"] = {name: area(rows, f"{arm}.clean", f"{arm}.{name}", scale).to_json() for name in there}
    predicted, labels = rows.columns("outcomes", f"{arm}.cues", "prediction", "label", by="id")
    bias = cue_bias(predicted, labels, rows.column("cues", f"{arm}.cues", "texture", by="id")).figure()
    found["shape"] = None if bias is None else bias.to_json()
    if arm == ZERO_SHOT[0]:
        found["prompts"] = prompts(rows, arm, scale)
    return found


def prompts(rows: Rows, arm: str, scale: float) -> dict[str, Any]:
    """Accuracy with each number of templates, and AUROC, the mean over the sets of another kind."""
    found: dict[str, Any] = {}
    for count in PROMPTS:
        head = f"{arm}.prompts-{count}"
        found[f"{count}.accuracy"] = rows.accuracy(f"{head}.clean")
        areas = [
            area(rows, f"{head}.clean", f"{head}.{n}", scale).value for n in OTHERS if f"{head}.{n}" in rows.labels()
        ]
        if areas:
            found[f"{count}.auroc"] = float(np.mean(areas))
    return found


def area(rows: Rows, normal: str, other: str, scale: float) -> Any:
    """AUROC by MCM: the softmax of raw cosines; of a model with a head that of its logits."""
    return auroc(*(scores(rows.logits(label)[0], scale) for label in (normal, other)))


def scores(logits: Numbers, scale: float) -> Numbers:
    """How abnormal images are, by logits divided by the scale."""
    return np.asarray(msp(torch.from_numpy(softmax(logits / scale))).numpy(), np.float64)


def calibration(rows: Rows) -> dict[str, float]:
    """Change of ECE by the temperature of other images, the mean over zero-shot models."""
    found: dict[str, list[float]] = {"halved": [], "mild": [], "strong": [], "mild_less_strong": []}
    for arm in ZERO_SHOT:
        with choosing():
            temperature = fit_temperature(*rows.logits(f"{arm}.choosing")).value
        plain, scaled = ({n: ece(rows, f"{arm}.{n}", t) for n in ("clean", *MILD, *STRONG)} for t in (1.0, temperature))
        mild, strong = (float(np.mean([plain[n] - scaled[n] for n in names])) for names in (MILD, STRONG))
        found["halved"].append(plain["clean"] - 2 * scaled["clean"])
        found["mild"].append(mild)
        found["strong"].append(strong)
        found["mild_less_strong"].append(mild - strong)
    return {name: float(np.mean(values)) for name, values in found.items()}


def ece(rows: Rows, label: str, temperature: float) -> float:
    """Expected calibration error of a condition at a temperature."""
    logits, labels = rows.logits(label)
    confidence, correct = top_label(softmax(logits / temperature), labels)
    return calibration_error(confidence, correct, bins=BINS, resamples=1, simulations=1).ece.value


def line(seeds: dict[str, Any]) -> dict[str, Any]:
    """Overall accuracy and mean accuracy over factors, correlated over the zero-shot models of all seeds."""
    overall = [own[arm]["clean"]["value"] for own in seeds.values() for arm in ZERO_SHOT]
    factors = [np.mean([own[arm][f]["value"] for f in FACTORS]) for own in seeds.values() for arm in ZERO_SHOT]
    if np.ptp(overall) == 0 or np.ptp(factors) == 0:
        return {"value": 0.0, "low": None, "high": None}
    return correlation(overall, factors).figure.to_json()

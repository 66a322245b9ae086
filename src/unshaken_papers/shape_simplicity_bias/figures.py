"""Biases and simplicities, from rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unshaken.explain.biases.cue_bias import bias_difference, cue_bias
from unshaken.measure import compare
from unshaken.papers.effects import across_seeds
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.shape_simplicity_bias import (
    CUES,
    FAINT,
    NOISE,
    PLAIN,
    ROBUST,
    STIMULI,
    STRONG,
    ShapeSimplicityPaper,
)

NETS = (PLAIN, ROBUST)
Columns = dict[str, np.ndarray]


def figures(paper: ShapeSimplicityPaper, rows: Rows) -> dict[str, Any]:
    """By seed, and what the robust networks gain over the seeds."""
    seeds = {name: of_seed(part) for name, part in rows.repetitions(paper.seeds).items()}

    def gain(value: Callable[[dict[str, Any]], float | None], *, bounded: bool = True) -> dict[str, Any] | None:
        values = [value(seed) for seed in seeds.values()]
        known = [v for v in values if v is not None]
        end = 1.0 if bounded else np.inf
        return across_seeds(known, low=-end, high=end) if len(known) == len(values) else None

    gains = {
        "low_frequency": gain(lambda s: less(s["hybrid"], "difference")),
        "noise": gain(lambda s: less(s["distorted"], f"noise-{NOISE:g}", "difference")),
        "scrambled": gain(lambda s: negative(less(s["distorted"], "scramble-4", "difference"))),
        "tv_ratio": gain(lambda s: s[PLAIN]["tv_ratio"] - s[ROBUST]["tv_ratio"], bounded=False),
        "kernel_tv": gain(lambda s: s[PLAIN]["kernel_tv"] - s[ROBUST]["kernel_tv"], bounded=False),
        "low_level": gain(lambda s: apart(s[ROBUST].get("low_level"), s[PLAIN].get("low_level"))),
        "distance": gain(lambda s: s[PLAIN]["distance"] - s[ROBUST]["distance"], bounded=False),
        "class_entropy": gain(lambda s: s[PLAIN]["class-entropy"] - s[ROBUST]["class-entropy"], bounded=False),
    }
    return {**seeds, "gain": {name: one for name, one in gains.items() if one is not None}}


def of_seed(rows: Rows) -> dict[str, Any]:
    """All figures of one seed."""
    with choosing():
        faint = {a: conflict(rows, a, "choosing") for a in FAINT}
    best = max(FAINT, key=lambda a: (usable(faint[a]), less(faint[a], "difference") or -1.0))
    return {
        **{
            net: {"clean": rows.accuracy(f"{net}.clean"), "pgd": rows.accuracy(f"{net}.pgd")} | layers(rows, net)
            for net in NETS
        },
        "distorted": distorted(rows),
        "hybrid": two_cues(*(columns(rows, f"{net}.hybrid") for net in NETS)),
        "chosen": conflict(rows, best, "judging"),
        "strong": conflict(rows, STRONG, "judging"),
        "agreeing": {
            str(a): {net: rows.accuracy(f"gratings-{a}.{net}.agreeing") for net in NETS} for a in (*FAINT, STRONG)
        },
    }


def usable(one: dict[str, Any]) -> bool:
    """Whether both networks decide for a cue often enough."""
    return all(one[net]["cue_share"]["value"] >= CUES for net in NETS)


def conflict(rows: Rows, amplitude: int, role: str) -> dict[str, Any]:
    """Both networks' shape bias at one amplitude."""
    part = rows.within(f"gratings-{amplitude}")
    return {"amplitude": amplitude, **two_cues(*(columns(part, f"{net}.{role}") for net in NETS))}


def two_cues(plain: Columns, robust: Columns) -> dict[str, Any]:
    """The biases of two networks on the same images, with counts, and their difference."""
    found: dict[str, Any] = {}
    for name, one in zip(NETS, (plain, robust), strict=True):
        bias = cue_bias(one["decision"], one["first"], one["second"])
        figure, cues = bias.figure(), bias.cue_figure()
        counts = {"first": bias.first, "second": bias.second, "other": bias.other}
        found[name] = {"cue_share": cues.to_json() if cues else None, **counts} | (
            {"bias": figure.to_json()} if figure else {}
        )
    change = bias_difference(plain["decision"], robust["decision"], plain["first"], plain["second"])
    return {**found, "difference": change.to_json()} if change else found


def columns(rows: Rows, label: str) -> Columns:
    """Cues and decisions, in order of ids."""
    names = ("first", "second", "decision")
    return dict(zip(names, rows.columns("cues", label, *names, by="id"), strict=True))


def distorted(rows: Rows) -> dict[str, Any]:
    """Accuracies on what both classify correctly undistorted, paired."""
    stimuli, models, right = rows.columns("answers", "distortions", "stimulus", "model", "correct", by="id")
    found: dict[str, Any] = {}
    for stimulus in STIMULI:
        hits = [right[(stimuli == stimulus) & (models == net)] for net in NETS]
        if len(hits[0]):
            shares = {net: share_of(own) for net, own in zip(NETS, hits, strict=True)}
            found[stimulus] = {**shares, "difference": compare(*hits).difference.to_json()}
    return found


def layers(rows: Rows, net: str) -> dict[str, Any]:
    """Smoothness, detectors and kinds of input of one network."""

    def values(label: str, quantity: str) -> list[float]:
        models, quantities, found = rows.columns("layers", label, "model", "quantity", "value")
        return [float(v) for v in found[(models == net) & (quantities == quantity)]]

    counts = {kind: int(sum(values("concepts", kind))) for kind in ("colour", "texture", "object")}
    total = sum(counts.values())
    ratios = values("smoothness", "tv-ratio")
    return {
        "tv_ratio": ratios[0],
        "tv_ratios": {str(i): ratio for i, ratio in enumerate(ratios)},
        "kernel_tv": values("smoothness", "kernel-tv")[0],
        "detectors": counts,
        **({"low_level": (counts["colour"] + counts["texture"]) / total} if total else {}),
        **{kind: values("kinds", kind)[0] for kind in ("distance", "class-entropy", "classes")},
    }


def less(figures_of: dict[str, Any], *path: str) -> float | None:
    """The value of a figure among others; None where it is not there."""
    for name in path:
        if (figures_of := figures_of.get(name)) is None:  # type: ignore[assignment]
            return None
    return float(figures_of["value"])


def negative(value: float | None) -> float | None:
    """The opposite, where there is a value."""
    return None if value is None else -value


def apart(one: float | None, other: float | None) -> float | None:
    """The first less the second, where there are both."""
    return None if one is None or other is None else one - other

"""PSNR, luminance and accuracy over seeds and photos, from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.papers.frame import across_seeds
from unshaken.papers.frame.rows import Numbers, Rows, mean_of
from unshaken.papers.noiser import CLEAN, CONTROL, DARK, EXPOSURES, GIVEN, NO_NORM, NOISER, NoiserPaper

MOST = 100.0
"""Largest difference of two PSNR in dB."""


def figures(paper: NoiserPaper, rows: Rows) -> dict[str, Any]:
    """Gains over the seeds, the classifier over the photos, and what it costs."""
    seeds = list(rows.repetitions(paper.seeds).values())
    changed = [exposure for exposure in EXPOSURES if exposure != CLEAN]

    def over(figure: Callable[[Rows], float], low: float = 0.0, high: float = 1.0) -> dict[str, Any]:
        return across_seeds([figure(seed) for seed in seeds], low=low, high=high)

    def gain(one: str, beside: str, exposure: str) -> Callable[[Rows], float]:
        before = shown(rows, "psnr", beside, exposure)
        return lambda seed: float(np.mean(shown(seed, "psnr", one, exposure) - before))

    def decibels(figure: Callable[[Rows], float]) -> dict[str, Any]:
        return over(figure, -MOST, MOST)

    without = gain(NO_NORM, GIVEN, DARK)
    with_norm = gain(NOISER, GIVEN, DARK)
    found: dict[str, Any] = {
        "gain": {exposure: decibels(gain(NOISER, GIVEN, exposure)) for exposure in changed},
        "no_norm": {exposure: decibels(gain(NO_NORM, GIVEN, exposure)) for exposure in changed},
        "norm": decibels(lambda seed: with_norm(seed) - without(seed)),
        "better": {exposure: decibels(gain(NOISER, CONTROL, exposure)) for exposure in EXPOSURES},
        "hurt": {exposure: mean_of(hurt(rows, seeds, exposure)) for exposure in changed},
        "accuracy": {
            GIVEN: {e: rows.accuracy(f"{GIVEN}.{e}") for e in EXPOSURES},
            CONTROL: {e: rows.accuracy(f"{CONTROL}.{e}") for e in EXPOSURES},
            NOISER: {e: over(lambda seed, e=e: float(seed.correct(f"{NOISER}.{e}").mean())) for e in EXPOSURES},
        },
        "accuracy_gain": {e: accuracy_gain(rows, seeds, e) for e in EXPOSURES},
        "cost": cost(rows),
    }
    for figure in ("psnr", "ssim", "luminance", "spread"):
        found[figure] = {
            **{
                name: {e: mean_of(shown(rows, figure, name, e)) for e in EXPOSURES if (name, e) != (GIVEN, CLEAN)}
                for name in (GIVEN, CONTROL)
            },
            **{
                name: {
                    e: over(lambda s, n=name, e=e, f=figure: float(shown(s, f, n, e).mean()), 0, MOST)
                    for e in EXPOSURES
                }
                for name in (NOISER, NO_NORM)
            },
        }
    return found


def shown(rows: Rows, figure: str, name: str, exposure: str) -> Numbers:
    """A figure of each photo in one exposure, in order of ids."""
    table = rows.table("shown", f"{name}.{exposure}").sort_by("id")
    return np.asarray(table[figure].to_numpy(), np.float64)


def hurt(rows: Rows, seeds: Sequence[Rows], exposure: str) -> Numbers:
    """The share of the networks that move each photo away from its original."""
    before = shown(rows, "psnr", GIVEN, exposure)
    return np.asarray(np.mean([shown(s, "psnr", NOISER, exposure) < before for s in seeds], 0), np.float64)


def accuracy_gain(rows: Rows, seeds: Sequence[Rows], exposure: str) -> dict[str, Any]:
    """How much more often a photo is recognised when it is enhanced: the mean over the networks, over the photos."""
    enhanced = np.mean([s.correct(f"{NOISER}.{exposure}") for s in seeds], 0)
    before = np.asarray(rows.correct(f"{GIVEN}.{exposure}"), np.float64)
    return paired_difference(before, np.asarray(enhanced, np.float64)).to_json()


def cost(rows: Rows) -> dict[str, Any]:
    """The number of weights, and seconds."""
    (row,) = rows.table("cost", "noiser").to_pylist()
    return {name: row[name] for name in ("parameters", "step_seconds", "image_seconds")}

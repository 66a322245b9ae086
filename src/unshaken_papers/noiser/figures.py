"""PSNR, luminance and accuracy over seeds and photos, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.noiser import CLEAN, CONTROL, DARK, EXPOSURES, GIVEN, NO_NORM, NOISER, NoiserPaper

MOST = 100.0
"""Largest difference of two PSNR in dB."""


def figures(paper: NoiserPaper, rows: Rows) -> dict[str, Any]:
    """Gains over the seeds, the classifier over the photos, and what it costs."""
    seeds = list(rows.repetitions(paper.seeds).values())
    changed = [exposure for exposure in EXPOSURES if exposure != CLEAN]

    def gain(one: str, other: str, exposure: str) -> list[Numbers]:
        """By how much a network raises the PSNR of each photo, by seed."""
        before = shown(rows, "psnr", other, exposure)
        return [shown(seed, "psnr", one, exposure) - before for seed in seeds]

    with_norm, without = gain(NOISER, GIVEN, DARK), gain(NO_NORM, GIVEN, DARK)
    found: dict[str, Any] = {
        "gain": {exposure: decibels(gain(NOISER, GIVEN, exposure)) for exposure in changed},
        "no_norm": {exposure: decibels(gain(NO_NORM, GIVEN, exposure)) for exposure in changed},
        "norm": decibels([one - other for one, other in zip(with_norm, without, strict=True)]),
        "better": {exposure: decibels(gain(NOISER, CONTROL, exposure)) for exposure in EXPOSURES},
        "hurt": {exposure: across_seeds(hurt(rows, seeds, exposure), low=0.0) for exposure in changed},
        "accuracy": {
            **{name: {e: rows.accuracy(f"{name}.{e}") for e in EXPOSURES} for name in (GIVEN, CONTROL)},
            NOISER: {e: across_seeds([accuracy(seed, e) for seed in seeds], low=0.0) for e in EXPOSURES},
        },
        "accuracy_gain": {exposure: accuracy_gain(rows, seeds, exposure) for exposure in EXPOSURES},
        "cost": cost(rows),
    }
    for figure in ("psnr", "ssim", "luminance", "spread"):
        found[figure] = {
            **{name: unchanged(rows, figure, name) for name in (GIVEN, CONTROL)},
            **{name: enhanced(seeds, figure, name) for name in (NOISER, NO_NORM)},
        }
    return found


def decibels(differences: Sequence[Numbers]) -> dict[str, Any]:
    """The mean of differences of two PSNR over seeds and photos."""
    return across_seeds(differences, low=-MOST, high=MOST)


def unchanged(rows: Rows, figure: str, name: str) -> dict[str, Any]:
    """A figure by exposure, over the photos, without a network; the photo itself is not beside itself."""
    exposures = [exposure for exposure in EXPOSURES if (name, exposure) != (GIVEN, CLEAN)]
    ends = {} if figure == "psnr" else {"low": -1.0, "high": 1.0}
    return {exposure: mean_of(shown(rows, figure, name, exposure), **ends) for exposure in exposures}


def enhanced(seeds: Sequence[Rows], figure: str, name: str) -> dict[str, Any]:
    """The mean over the photos by exposure, over the seeds of a network."""
    return {
        exposure: across_seeds([shown(seed, figure, name, exposure) for seed in seeds], low=-1.0, high=MOST)
        for exposure in EXPOSURES
    }


def accuracy(rows: Rows, exposure: str) -> Numbers:
    """Whether the classifier is right on each photo that a network of one seed enhanced."""
    return rows.shares(f"{NOISER}.{exposure}")


def shown(rows: Rows, figure: str, name: str, exposure: str) -> Numbers:
    """A figure of each photo in one exposure, in order of ids."""
    return rows.column("shown", f"{name}.{exposure}", figure, by="id")


def hurt(rows: Rows, seeds: Sequence[Rows], exposure: str) -> list[Numbers]:
    """Whether the network of each seed moves each photo away from its original."""
    before = shown(rows, "psnr", GIVEN, exposure)
    return [(shown(s, "psnr", NOISER, exposure) < before).astype(np.float64) for s in seeds]


def accuracy_gain(rows: Rows, seeds: Sequence[Rows], exposure: str) -> dict[str, Any]:
    """How much more often a photo is recognised when it is enhanced, over seeds and photos."""
    before = rows.shares(f"{GIVEN}.{exposure}")
    return across_seeds([accuracy(seed, exposure) - before for seed in seeds])


def cost(rows: Rows) -> dict[str, Any]:
    """The number of weights, and seconds."""
    (row,) = rows.table("cost", "noiser").to_pylist()
    return {name: row[name] for name in ("parameters", "step_seconds", "image_seconds")}

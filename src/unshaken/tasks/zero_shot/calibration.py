"""Calibration that carries over: one temperature from half of the usual images, applied to every other set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.measure import Figure, Temperature, calibration_error, fit_temperature, nll, softmax, top_label
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

BINS = 15


@dataclass(frozen=True, slots=True)
class CalibrationFigures:
    """Calibration of one set of images, before and after the temperature.

    Args:
        ece: expected calibration error, 15 bins of equal width (lo, hi]; compare it at equal numbers of images only.
        nll: negative log-likelihood in nats.
        ece_scaled: with the temperature; None where none fits, as where every sample that it is fitted on is right.
        nll_scaled: negative log-likelihood with the temperature, or None.
    """

    ece: Figure
    nll: Figure
    ece_scaled: Figure | None
    nll_scaled: Figure | None


def fitting_half(ids: Sequence[str], seed: int = 0) -> Flags:
    """Which samples the temperature is fitted on; a sample's half hangs on (seed, its id) and the other ids alone.

    Args:
        ids: of all samples, each once.
        seed: of the halves.

    Returns:
        bool `[N]`, true for half of them, rounded down.

    Raises:
        DataError: there are fewer than two.
    """
    if len(ids) < 2:
        raise DataError(f"{len(ids)} images cannot be halved: a temperature is fitted on one half, judged on the other")
    order = np.argsort(SampleRng.of(seed, "zero-shot/halves", list(ids)).keys.numpy(), kind="stable")
    chosen = np.zeros(len(ids), np.bool_)
    chosen[order[: len(ids) // 2]] = True
    return chosen


def within_classes(logits: ArrayLike, labels: ArrayLike, classes: Sequence[int]) -> tuple[Numbers, Indices]:
    """Logits and labels of a set that has some of the model's classes, for a choice among these alone.

    Args:
        logits: `[N, K]`.
        labels: int `[N]`, each among `classes`.
        classes: numbers of the classes that the set has; empty for all.

    Raises:
        DataError: a label is none of them.
    """
    z, own = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if not len(classes):
        return z, own
    chosen = np.asarray(sorted(classes), np.int64)
    places = np.searchsorted(chosen, own).clip(max=len(chosen) - 1)
    if (chosen[places] != own).any():
        raise DataError(f"label {int(own[chosen[places] != own][0])} is none of the {len(chosen)} classes of the set")
    return z[:, chosen], places.astype(np.int64)


def calibrate(
    logits: ArrayLike, labels: ArrayLike, sets: Mapping[str, tuple[ArrayLike, ArrayLike]], *, resamples: int = 1000
) -> tuple[Temperature, dict[str, CalibrationFigures]]:
    """Fit a temperature, and judge it on other samples.

    Args:
        logits: scaled ones `[N, K]`, of the samples that the temperature is fitted on and that are in no set.
        labels: int `[N]`.
        sets: name to logits and labels.
        resamples: bootstrap draws of each interval.

    Raises:
        ParameterError: a logit is not finite, or labels do not fit.
    """
    temperature = fit_temperature(logits, labels)
    found = {}
    for name, (z, y) in sets.items():
        raw = np.asarray(z, np.float64)
        scaled = _figures(raw / temperature.value, y, resamples) if temperature.inside else (None, None)
        found[name] = CalibrationFigures(*_figures(raw, y, resamples), *scaled)
    return temperature, found


def _figures(logits: Numbers, labels: ArrayLike, resamples: int) -> tuple[Figure, Figure]:
    """ECE and NLL."""
    confidence, correct = top_label(softmax(logits), labels)
    error = calibration_error(confidence, correct, bins=BINS, resamples=resamples, simulations=1)
    return error.ece, nll(logits, labels, resamples=resamples)

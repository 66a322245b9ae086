"""Latency of detectors: seconds per image with and without them, and of each one."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.notebook import facts_card
from unshaken.core.oracle import Oracle
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.screen import screen


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of repeated, alternating runs, in seconds an image.

    Args:
        without: a plain forward pass of the model.
        with_all: the model's answer and all scores.
        alone: by detector, its own part beyond the pass that all share.
        spread: the quarter and three-quarter points of `with_all / without`.
        images: of one run.
    """

    without: float
    with_all: float
    alone: dict[str, float]
    spread: tuple[float, float]
    images: int

    def _repr_html_(self) -> str:
        times = {"model alone": self.without, "with all detectors": self.with_all, **self.alone}
        facts = {name: f"{1000 * seconds:.3g} ms an image" for name, seconds in times.items()}
        return facts_card(f"Detectors take {self.ratio:.2f} times the model alone", facts)

    @property
    def ratio(self) -> float:
        """Time with detectors over time without; 1 would be free."""
        return self.with_all / self.without


def latency(
    detector_set: DetectorSet, images: Tensor, *, batch_size: int = 64, repeats: int = 5, warm_up: int = 1
) -> Latency:
    """Time the model with its detectors against the model alone, in turns, on the same images.

    Args:
        detector_set: the fitted detectors.
        images: float `[N, C, H, W]` in [0, 1], on the model's device.
        batch_size: images in one pass; 1 for what a single request takes.
        repeats: timed rounds.
        warm_up: rounds before them that are not timed.

    Raises:
        ParameterError: there is no image, or a number is below 1.
    """
    if not len(images) or min(batch_size, repeats) < 1 or warm_up < 0:
        raise ParameterError(
            f"latency: {len(images)} images, batch_size={batch_size}, repeats={repeats}: give 1 or more"
        )
    model, samples = detector_set.model, Batch(images, None, tuple(str(i) for i in range(len(images))))
    oracle = Oracle(model, limit=batch_size, search_copy=search_copy(model, images[:2]))
    plain: list[float] = []
    full: list[float] = []
    alone: dict[str, list[float]] = {label: [] for label in detector_set.detectors}
    with evaluating(model):
        for number in range(warm_up + repeats):
            began = time.perf_counter()
            with torch.inference_mode():
                for piece in torch.split(images, batch_size):
                    model(piece)
            took = time.perf_counter() - began
            began = time.perf_counter()
            found = screen(detector_set.detectors, detector_set.anatomy, samples, oracle)
            both = time.perf_counter() - began
            if number >= warm_up:
                plain.append(took)
                full.append(both)
                for label, scored in found.items():
                    alone[label].append(float(scored.seconds.sum()))
    n = len(images)
    ratios = sorted(b / a for a, b in zip(plain, full, strict=True))
    quarter = len(ratios) // 4
    return Latency(
        statistics.median(plain) / n,
        statistics.median(full) / n,
        {label: statistics.median(times) / n for label, times in alone.items()},
        (ratios[quarter], ratios[-1 - quarter]),
        n,
    )

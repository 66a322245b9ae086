"""`screen`: score with all detectors in one shared pass; further passes are run one detector at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.device import float64_device
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Features, Logits, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.data.dataset import BadSample
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator, T, follow
from unshaken.detect.engine.forward_pass import ForwardPass


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """A detector with its fitted tensors and its calibration scores.

    Args:
        method: its parameters.
        bank: what the fit left.
        calibration: scores of held-out normal samples, float64 `[n]`, rising.
    """

    method: Detector
    bank: Bank
    calibration: Tensor


class DetectorScores(State):
    """Scores of a detector for a batch, and their cost.

    Args:
        score: float64 `[N]`, higher is more abnormal.
        forwards: passes a sample beyond the one that all detectors share, int64 `[N]`.
        backwards: as `forwards`.
        seconds: a sample's share of the time, the shared pass left out, `[N]`.
    """

    score: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


def screen(
    detectors: Mapping[str, FittedDetector], anatomy: Anatomy, batch: Batch, oracle: Oracle, seed: int = 0
) -> dict[str, DetectorScores]:
    """Score a batch with all detectors.

    Args:
        detectors: by label.
        anatomy: of the model.
        batch: any number of samples; they are taken in pieces that fit the memory.
        oracle: runs the model and counts its passes; the model in evaluation mode.
        seed: of the run, for detectors that draw.

    Returns:
        Label to scores. A score is NaN where the model's values are no numbers.
    """
    return screen_with_logits(detectors, anatomy, batch, oracle, seed)[1]


def screen_with_logits(
    detectors: Mapping[str, FittedDetector], anatomy: Anatomy, batch: Batch, oracle: Oracle, seed: int = 0
) -> tuple[Tensor, dict[str, DetectorScores]]:
    """Score a batch with all detectors, and give the logits `[N, K]` of the pass that they share; see `screen`."""
    logits: list[Tensor] = []
    parts: dict[str, list[DetectorScores]] = {label: [] for label in detectors}
    for forward in forward_passes([f.method for f in detectors.values()], anatomy, batch, oracle, seed):
        logits.append(forward.logits)
        for label, fitted in detectors.items():
            parts[label].append(_score(fitted, forward, oracle))
    return torch.cat(logits), {label: DetectorScores.concat(found) for label, found in parts.items()}


def forward_passes(
    methods: list[Detector], anatomy: Anatomy, batch: Batch, oracle: Oracle, seed: int = 0
) -> Iterator[ForwardPass]:
    """Run the model on the samples piece by piece, once for all detectors.

    Args:
        methods: the detectors whose layers are wanted.
        anatomy: of the model.
        batch: the samples.
        oracle: runs the model and counts its passes.
        seed: of the run.

    Yields:
        What the model says, on its device, or on the CPU where that has no float64: there scores are computed.
    """
    layers = tuple(dict.fromkeys(layer for m in methods for layer in m.layers(anatomy)))
    start, place = 0, float64_device(oracle.device)
    while start < len(batch):
        piece = batch[slice(start, start + oracle.limit)]
        points = piece.images.to(oracle.device)
        answer = oracle.ask(Features(points, layers) if layers else Logits(points)).to(place)
        piece = piece.to(place)
        rng = SampleRng.of(seed, "detect", piece.ids)
        yield ForwardPass(anatomy, required(answer.logits), answer.features or {}, piece.images, rng, piece.labels)
        start += len(piece)


def run_queries(result: T | QueryGenerator[T], oracle: Oracle) -> T:
    """Complete a detector's `fit` or `score`: answer its queries, if it has any, in pieces that fit in memory."""
    queries = follow(result)
    answer: Any = None
    while True:
        with oracle.meter.method(), torch.no_grad():
            try:
                query: Query = queries.send(answer)
            except StopIteration as stop:
                found: T = stop.value
                return found
        answer = oracle.ask(query.to(oracle.device)).to(float64_device(oracle.device))


def check_scores(label: str, scores: Tensor, ids: Sequence[str]) -> None:
    """Refuse scores that are no numbers.

    Raises:
        DataError: one is not finite; the message names the sample.
    """
    wrong = (~scores.isfinite()).nonzero().flatten().tolist()
    if wrong:
        raise DataError(
            f"{label}: the score of sample {ids[wrong[0]]!r} is {scores[wrong[0]].item()}, and {len(wrong) - 1} more "
            "are no finite numbers: check the model's output for these images"
        )


def usable_scores(scores: Mapping[str, Tensor], ids: Sequence[str]) -> tuple[list[int], list[BadSample]]:
    """Places of the samples that have a finite score of every detector, and the others with the reason.

    Args:
        scores: label to scores `[N]`.
        ids: one a sample.
    """
    odd = {label: (~values.isfinite()).nonzero().flatten().tolist() for label, values in scores.items()}
    bad = {place: label for label, places in reversed(odd.items()) for place in places}
    found = [BadSample(ids[i], f"the score of {bad[i]} is {scores[bad[i]][i].item():g}") for i in sorted(bad)]
    return [i for i in range(len(ids)) if i not in bad], found


def _score(fitted: FittedDetector, forward: ForwardPass, oracle: Oracle) -> DetectorScores:
    began, before = time.perf_counter(), (oracle.meter.forwards, oracle.meter.backwards)
    with oracle.meter.method(), torch.no_grad():
        result = fitted.method.score(forward, fitted.bank)
    score = run_queries(result, oracle).double()
    n, seconds = len(forward), time.perf_counter() - began
    forwards, backwards = oracle.meter.forwards - before[0], oracle.meter.backwards - before[1]
    return DetectorScores(
        score=score,
        forwards=torch.full((n,), forwards // n, device=score.device),
        backwards=torch.full((n,), backwards // n, device=score.device),
        seconds=torch.full((n,), seconds / n, dtype=torch.float64, device=score.device),
    )

"""One pass over all training samples after an epoch, and the detectors that decide by it which labels are doubted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.harden.engine.projection import ProjectionNet
from unshaken.harden.engine.recipe import Evaluate
from unshaken.labels.engine.noise_detection import (
    Detection,
    detect_by_loss,
    detect_by_neighbours,
    detect_linearly,
)


@dataclass(frozen=True, slots=True)
class TrainingOutputs:
    """Outputs of the network for all training samples.

    Args:
        rows: places in the data set, int64 `[n]`.
        labels: given, int64 `[n]`.
        logits: `[n, K]`.
        projections: `[n, P]`.
        features: of an intermediate stage, averaged over places, `[n, D]`.
    """

    rows: Tensor
    labels: Tensor
    logits: Tensor
    projections: Tensor
    features: Tensor

    @property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of the given labels, `[n]`."""
        return to_numbers(F.cross_entropy(self.logits, self.labels, reduction="none"))

    def pseudo_losses(self, guesses: Tensor) -> NDArray[np.float64]:
        """Cross-entropy of guesses `[n, K]`, `[n]`."""
        return to_numbers(F.cross_entropy(self.logits, guesses, reduction="none"))


def stage_layer(model: Classifier, images: Tensor, stage: int) -> str:
    """The name of a stage: a layer for each size that the picture has on its way, then the input of the last layer.

    Args:
        model: with a projection head.
        images: a few of them.
        stage: from 0.

    Raises:
        ModelError: the network has fewer.
    """
    net = cast(ProjectionNet, model.net)
    layers = [*Anatomy.of(model, images[:2]).stages, f"encoder.{net.head}{INPUT}"]
    if stage >= len(layers):
        raise ModelError(f"stage={stage}: the network has {len(layers)} stages; give one from 0 to {len(layers) - 1}")
    return layers[stage]


def track(model: Classifier, evaluate: Evaluate, stage: int) -> TrainingOutputs:
    """Note all training samples, unaugmented, in evaluation mode.

    Args:
        model: with a projection head.
        evaluate: of the epoch.
        stage: see `stage_layer`.
    """
    net = cast(ProjectionNet, model.net)

    def read(images: Tensor) -> Tensor:
        layer = stage_layer(model, images, stage)
        with net.giving("logits", "projection"):
            found, given = model.features(images, [layer])
        values = given[layer]
        pooled = values.flatten(2).mean(2) if values.ndim == 4 else values.mean(1) if values.ndim == 3 else values
        return torch.cat([found, pooled], 1)

    rows, labels, found = evaluate(read)
    widths = [net.widths["logits"], net.widths["projection"]]
    parts = torch.split(found.float(), [*widths, found.shape[1] - sum(widths)], 1)
    return TrainingOutputs(rows, labels, *parts)


def to_numbers(values: Tensor) -> NDArray[np.float64]:
    """Values as float64, off the device."""
    return np.asarray(values.cpu().double().numpy(), np.float64)


def _linear(tracked: TrainingOutputs, threshold: float, wrong: Tensor) -> Detection | None:
    return detect_linearly(to_numbers(tracked.features), detect_by_loss(tracked.losses, threshold).flagged)


def _loss(tracked: TrainingOutputs, threshold: float, wrong: Tensor) -> Detection:
    return detect_by_loss(tracked.losses, threshold)


def _rrl(tracked: TrainingOutputs, threshold: float, wrong: Tensor) -> Detection:
    probabilities = to_numbers(tracked.logits.softmax(1))
    return detect_by_neighbours(to_numbers(tracked.projections), probabilities, tracked.labels.cpu().numpy())


def _none(tracked: TrainingOutputs, threshold: float, wrong: Tensor) -> Detection:
    return _oracle(tracked, threshold, torch.zeros_like(wrong))


def _oracle(tracked: TrainingOutputs, threshold: float, wrong: Tensor) -> Detection:
    flagged = wrong[tracked.rows].cpu().numpy()
    return Detection(flagged.astype(np.float64), flagged)


DETECTORS: Mapping[str, Callable[[TrainingOutputs, float, Tensor], Detection | None]] = {
    "linear": _linear,
    "loss": _loss,
    "rrl": _rrl,
    "none": _none,
    "oracle": _oracle,
}
"""Name to what decides by tracked samples, a threshold of small loss, and which samples `[samples]` are known to be
wrong; None where it cannot decide."""

"""`calibrate`: the temperature under which probabilities fit labelled data, and the threshold of prediction sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of, widen
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.data import Dataset, stream
from unshaken.data.dataset import digest
from unshaken.data.streaming import first_batch
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.measure.detection.conformal import Threshold, conformal_threshold
from unshaken.measure.prediction_sets import own_scores, set_scores
from unshaken.models import check_model
from unshaken.models.align import ModelClasses, aligned
from unshaken.models.loaders.check import count_outputs

LEAST = 20
"""Labelled samples below which no temperature is fitted."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, where it comes from, and the threshold of prediction sets.

    Args:
        temperature: probabilities are `softmax(logits / temperature)`.
        data: SPEC of the labelled samples; empty where none were given, and the temperature is 1.
        samples: number of them.
        sets: of the score `lac`, 1 minus a class's probability: a prediction set holds the classes whose score is at
            most this. None for no sets.
    """

    temperature: float = 1.0
    data: str = ""
    samples: int = 0
    sets: Threshold | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities, float64 `[N, K]`.

        Args:
            logits: `[N, K]`.
        """
        return (widen(logits) / self.temperature).softmax(1)

    def in_sets(self, probabilities: Tensor) -> Tensor:
        """Which classes the prediction sets of images hold, bool `[N, K]`.

        Args:
            probabilities: as of `probabilities`.
        """
        if self.sets is None:
            raise ParameterError("no coverage was asked for when the model was calibrated")
        return 1 - probabilities <= self.sets.value


def calibrate(model: Classifier, dataset: Dataset, *, limit: int = 256, coverage: float | None = None) -> Calibration:
    """Fit the temperature of a model on labelled samples that it was not trained on.

    With a coverage the samples are halved by hashes of their ids: the temperature is fitted on one half, and the
    threshold of prediction sets is chosen on the other, so that these samples and new ones are exchangeable.

    Args:
        model: the classifier.
        dataset: with labels.
        limit: images in one pass at most.
        coverage: promised share of prediction sets that hold the label, in (0, 1); None for no sets.

    Raises:
        DataError: fewer than `LEAST` samples can be used for the temperature, or too few for the coverage; or the
            classes are not the model's.
        ParameterError: the coverage is out of range.
    """
    if coverage is not None and not 0 < coverage < 1:
        raise ParameterError(f"coverage={coverage:g} must lie inside (0, 1); 0.9 is usual")
    first = first_batch(dataset, view=model.view).images.to(device_of(model))
    check_model(model, first, data=dataset.options.spec)
    known = aligned(dataset, ModelClasses.of(model, count_outputs(model, first)))
    oracle, logits, labels, ids = Oracle(model, limit=limit), list[Tensor](), list[Tensor](), list[str]()
    with evaluating(model):
        for item in stream(known, view=model.view, batch_size=limit):
            if isinstance(item, Batch) and item.labels is not None:
                logits.append(oracle.exact(item.images.to(oracle.device)).cpu())
                labels.append(item.labels)
                ids += item.ids
    order = np.array(sorted(range(len(ids)), key=lambda i: digest(ids[i])), int)
    half = len(ids) if coverage is None else len(ids) // 2
    fitted, others = np.sort(order[:half]), np.sort(order[half:])
    n = len(fitted)
    if n < LEAST:
        raise DataError(
            f"data {dataset.options.spec!r} has {n} labelled samples{'' if coverage is None else ' in a half'}: "
            f"probabilities are calibrated on {LEAST} or more"
        )
    values, truth = torch.cat(logits), torch.cat(labels).numpy()
    temperature = fit_temperature(values[fitted].double().numpy(), truth[fitted]).value
    if coverage is None:
        return Calibration(temperature, dataset.options.spec, n)
    probabilities = Calibration(temperature).probabilities(values[others])
    threshold = conformal_threshold(own_scores(set_scores(probabilities, "lac"), truth[others]), coverage)
    if threshold.k > threshold.n:
        raise DataError(
            f"data {dataset.options.spec!r} has {threshold.n} labelled samples in a half: a coverage of {coverage:g} "
            f"needs {threshold.needed}"
        )
    return Calibration(temperature, dataset.options.spec, n, threshold)

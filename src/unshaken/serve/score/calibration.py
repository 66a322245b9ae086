"""`calibrate`: the temperature under which a model's probabilities fit labelled data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.data import Dataset, stream
from unshaken.data.streaming import first_batch
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.models import check_model
from unshaken.models.align import ModelClasses, aligned
from unshaken.models.loaders.check import count_outputs

LEAST = 20
"""Labelled samples below which no temperature is fitted."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature and where it comes from.

    Args:
        temperature: probabilities are `softmax(logits / temperature)`.
        data: SPEC of the labelled samples; empty where none were given, and the temperature is 1.
        samples: number of them.
    """

    temperature: float = 1.0
    data: str = ""
    samples: int = 0


def calibrate(model: Classifier, dataset: Dataset, *, limit: int = 256) -> Calibration:
    """Fit the temperature of a model on labelled samples that it was not trained on.

    Args:
        model: the classifier.
        dataset: with labels.
        limit: images in one pass at most.

    Raises:
        DataError: fewer than `LEAST` samples can be used, or the classes are not the model's.
    """
    first = first_batch(dataset, view=model.view).images.to(device_of(model))
    check_model(model, first, data=dataset.options.spec)
    known = aligned(dataset, ModelClasses.of(model, count_outputs(model, first)))
    oracle, logits, labels = Oracle(model, limit=limit), [], []
    with evaluating(model):
        for item in stream(known, view=model.view, batch_size=limit):
            if isinstance(item, Batch) and item.labels is not None:
                logits.append(oracle.exact(item.images.to(oracle.device)).cpu().double().numpy())
                labels.append(item.labels.numpy())
    n = sum(map(len, labels))
    if n < LEAST:
        raise DataError(
            f"data {dataset.options.spec!r} has {n} labelled samples: probabilities are calibrated on {LEAST} or more"
        )
    found = fit_temperature(np.concatenate(logits), np.concatenate(labels))
    return Calibration(found.value, dataset.options.spec, n)

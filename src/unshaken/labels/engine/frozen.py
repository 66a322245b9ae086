"""`features_of`: what a trained model's last layer is given, for images in memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError
from unshaken.data.resident import Samples
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.run.layer_features import features_of_batches

PIECE = 256


def features_of(model: Classifier, samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features `[n, D]`, one pass of the model.

    Args:
        model: with a linear last layer.
        samples: of the data set.
        rows: which of them, in this order.

    Raises:
        ModelError: the model's last layer is not linear, or cannot be seen.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    first = samples.whole(rows[:2])
    head = Anatomy.of(model, first.images.to(device)).head
    if head is None:
        raise ModelError(f"model {model.name!r} has no linear last layer: give an architecture instead")
    layer, batches = head + INPUT, (images for _, images, _ in samples.batches(rows, PIECE))
    features: NDArray[np.float32] = features_of_batches(model, batches, [layer], pool="flat", count=len(rows))[
        layer
    ].numpy()
    return features

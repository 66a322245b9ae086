"""`measure_reference`: what a model predicts on images of a reference, for windows to be compared with."""

from __future__ import annotations

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.errors import DataError
from unshaken.data import Dataset, stream
from unshaken.models.loaders.check import count_outputs
from unshaken.report.pages.service import Reference
from unshaken.serve.score.options import ScoreOptions
from unshaken.serve.score.scorer import Scorer, Work
from unshaken.serve.score.windows import Window

LEAST = 100
"""Images below which a reference bounds no share."""


def measure_reference(scorer: Scorer, dataset: Dataset) -> Reference:
    """Count predicted classes and confidences on the images of a reference; it needs no labels.

    Args:
        scorer: of the service.
        dataset: images of the source that the service is meant for, not used to train the model.

    Raises:
        DataError: fewer than `LEAST` images can be used.
    """
    counts, outputs = Window(0, 0.0, 0.0), 0
    with evaluating(scorer.model):
        for item in stream(dataset, view=scorer.view, batch_size=scorer.most):
            if isinstance(item, Batch):
                outputs = outputs or count_outputs(scorer.model, item.images.to(scorer.oracle.device))
                counts.add(scorer.run([Work(item, ScoreOptions())])[0], 0, 0.0)
    if counts.images < LEAST:
        raise DataError(
            f"data {dataset.options.spec!r} has {counts.images} images that can be used: a reference needs {LEAST} or "
            "more"
        )
    classes = {k: counts.classes[k] for k in range(-1, outputs)}
    return Reference(data=dataset.options.spec, images=counts.images, classes=classes, confidence=counts.by_confidence)

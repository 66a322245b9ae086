"""`Validation`: how well a model does on held-out images under the conditions that a repair is to improve."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.oracle import Oracle, required
from unshaken.core.prediction import predict
from unshaken.measure import accuracy_by_class
from unshaken.run.plan import Entry, prepare
from unshaken.run.rows import Context

PIECE = 256


@dataclass(frozen=True, slots=True)
class Validation:
    """The mean accuracy over weaknesses: under the conditions of each, or of the worst class where it has none.

    Args:
        plan: lines that hold the conditions.
        weaknesses: ids of conditions, one tuple a weakness; an empty one for the gap between classes.
        seed: of what the methods draw.
        images: held-out images at most.
    """

    plan: tuple[Entry, ...]
    weaknesses: tuple[tuple[str, ...], ...]
    seed: int
    images: int

    def __call__(self, model: Classifier, held: Batch) -> float:
        """The figure, in [0, 1].

        Args:
            model: any.
            held: labelled images that it was not trained on.
        """
        device = device_of(model)
        batch = held[slice(0, self.images)].to(device)
        labels = required(batch.labels)
        wanted = {c for conditions in self.weaknesses for c in conditions}
        found: dict[str, float] = {}
        with evaluating(model):
            oracle = Oracle(model, limit=PIECE)
            clean = oracle.exact(batch.images)
            right = (predict(clean) == labels).cpu().numpy()
            context = Context(oracle, self.seed, clean)
            for step in prepare(self.plan):
                if wanted.isdisjoint(c.id for c in step.conditions):
                    continue
                for part in step.method.evaluate(batch, step.conditions, context):
                    if part.table == "outcomes" and part.condition.id in wanted:
                        found[part.condition.id] = float(np.mean(part.columns["correct"]))
        worst = min(f.value for f in accuracy_by_class(right, labels.cpu().numpy()).values())
        return statistics.fmean(
            statistics.fmean(found[c] for c in conditions) if conditions else worst for conditions in self.weaknesses
        )

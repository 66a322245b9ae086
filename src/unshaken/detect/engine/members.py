"""`Members`: what further models say of the same images, counted on the same meter."""

from __future__ import annotations

import torch
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.core.prediction import predict
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.models.loaders.load import second_model


class Members(Query):
    """Logits `[N, T, K]` of T other models.

    Args:
        points: `[N, C, H, W]`.
        specs: of the models, as of `load_model`.
        classes: K, which all must have.
    """

    specs: tuple[str, ...]
    classes: int

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        found = []
        for spec in self.specs:
            model = second_model(spec).to(self.points.device)
            self._check_size(spec, model)
            oracle = passes.beside(model) if isinstance(passes, Oracle) else None
            logits = model(self.points).float() if oracle is None else oracle.forward(self.points)[0]
            if logits.shape[1] != self.classes:
                raise ModelError(
                    f"ensemble: member {spec!r} has {logits.shape[1]} classes, the model {self.classes}: "
                    "members must answer the same question"
                )
            found.append(logits)
        logits = torch.stack(found, 1)
        return Answer(logits=logits, labels=predict(logits))

    def _check_size(self, spec: str, model: Classifier) -> None:
        size = tuple(self.points.shape[2:])
        if model.input_size is not None and model.input_size != size:
            raise ModelError(
                f"ensemble: member {spec!r} takes images of {model.input_size}, the model sees {size}: "
                "name members of the same input size"
            )

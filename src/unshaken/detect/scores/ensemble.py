"""Ensemble: how far several models disagree."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same

Measure = Literal["mutual-information", "entropy", "mean-entropy", "max-variance"]


def disagreement(probabilities: Tensor, measure: Measure) -> Tensor:
    """How far T predictions of each sample disagree.

    Args:
        probabilities: p, `[N, T, K]`.
        measure: `mutual-information`: `H(mean p) - mean H(p)`; `entropy`: `H(mean p)`, of what is predicted together;
            `mean-entropy`: `mean H(p)`, of each alone; `max-variance`: the variance over predictions (divided by T) of
            the class where it is largest.

    Returns:
        `[N]`, in nats but for `max-variance`; not below 0.
    """
    if measure == "max-variance":
        return probabilities.var(1, correction=0).amax(1)
    together: Tensor = torch.special.entr(probabilities.mean(1)).sum(1)
    if measure == "entropy":
        return together
    alone: Tensor = torch.special.entr(probabilities).sum(2).mean(1)
    return alone if measure == "mean-entropy" else (together - alone).clamp(min=0)


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
            if isinstance(passes, Oracle):
                model = choose_same(model, passes.model, purpose="ensemble: the member")
            size = tuple(self.points.shape[2:])
            if model.input_size is not None and model.input_size != size:
                raise ModelError(
                    f"ensemble: member {spec!r} takes images of {model.input_size}, the model sees {size}: "
                    "name members of the same input size"
                )
            oracle = passes.share_meter(model) if isinstance(passes, Oracle) else None
            logits = model(self.points).float() if oracle is None else oracle.forward(self.points)[0]
            if logits.shape[1] != self.classes:
                raise ModelError(
                    f"ensemble: member {spec!r} has {logits.shape[1]} classes, the model {self.classes}: "
                    "members must answer the same question"
                )
            found.append(logits)
        logits = torch.stack(found, 1)
        return Answer(logits=logits, labels=predict(logits))


@register("ensemble", reference="Lakshminarayanan et al. 2017, arXiv:1612.01474", needs=("logits",))
class EnsembleDisagreement(Detector):
    """Ensemble disagreement: how much the model and further models differ in their predictions.

    Their passes are counted with the model's own.
    """

    members: tuple[str, ...] = Field(description="SPECs of further models", min_length=1)
    measure: Measure = Field(default="mutual-information", description="how disagreement is measured")

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        answer = yield Members(forward.pixels, self.members, forward.logits.shape[1])
        own = forward.logits.to(required(answer.logits))[:, None]
        every = torch.cat([own, required(answer.logits)], 1)
        return disagreement(every.double().softmax(-1), self.measure)

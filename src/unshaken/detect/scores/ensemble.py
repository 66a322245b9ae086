"""Ensemble: how far several models disagree."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.members import Members
from unshaken.detect.scores._disagreement import Measure, disagreement


@register("ensemble", reference="Lakshminarayanan et al. 2017, arXiv:1612.01474", needs=("logits",))
class EnsembleDisagreement(Detector):
    """Ensemble disagreement: how much the model and further models differ in their predictions.

    Their passes are counted with the model's own.
    """

    members: str = Field(description="SPECs of further models, joined by +", min_length=1)
    measure: Measure = Field("mutual-information", description="how disagreement is measured")

    @property
    def specs(self) -> tuple[str, ...]:
        """The members' SPECs.

        Raises:
            ParameterError: one is empty.
        """
        specs = tuple(s.strip() for s in self.members.split("+"))
        if not all(specs):
            raise ParameterError(f"ensemble: members={self.members!r} has an empty SPEC; write SPEC+SPEC")
        return specs

    @override
    def examine(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        answer = yield Members(forward.pixels, self.specs, forward.logits.shape[1])
        own = forward.logits.to(required(answer.logits))[:, None]
        every = torch.cat([own, required(answer.logits)], 1)
        return disagreement(every.double().softmax(-1), self.measure)

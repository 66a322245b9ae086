"""Monte Carlo dropout: how unsure a model is when parts of it are left out at random."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores._disagreement import disagreement
from unshaken.detect.scores._dropout import DropoutDraws


@register("mc-dropout", reference="Gal & Ghahramani 2016, arXiv:1506.02142", needs=("logits",))
class MCDropout(Detector):
    """MC dropout: entropy of the mean prediction under dropout, or mutual information of class and dropout."""

    draws: int = Field(20, description="passes with dropout", ge=2)
    measure: Literal["entropy", "mutual-information"] = Field(
        "entropy", description="entropy of the mean prediction, or mutual information"
    )

    @override
    def examine(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        answer = yield DropoutDraws(forward.pixels, forward.streams.fold("dropout"), self.draws)
        return disagreement(required(answer.logits).double().softmax(-1), self.measure)

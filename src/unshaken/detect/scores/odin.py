"""ODIN: temperature, and one step of the image towards what the model says it is."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Logits
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, FigureObjective, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.msp import msp


@register("odin", reference="Liang et al. 2018, arXiv:1706.02690", needs=("logits", "gradient"))
class ODIN(Detector):
    """ODIN: one minus the maximum softmax at a high temperature, after one small gradient step that raises it.

    `x' = x - eps sign(grad_x CE(z(x) / T, c))` with c the predicted class; normal images gain more by it.
    """

    temperature: PositiveFloat = Field(default=1000.0, description="T, divides the logits")
    eps: NonNegativeFloat = Field(default=0.0014, description="step in [0, 1] pixel units; 0 for none")

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        if self.eps == 0:
            return msp((forward.z / self.temperature).softmax(1))

        def loss(answer: Answer, classes: Tensor) -> Tensor:
            return F.cross_entropy(required(answer.logits) / self.temperature, classes, reduction="none")

        answer = yield Gradient(forward.pixels, of=FigureObjective(loss, forward.predictions))
        moved = forward.pixels - self.eps * required(answer.gradient).sign()
        again = yield Logits(moved)
        return msp((required(again.logits).double() / self.temperature).softmax(1))

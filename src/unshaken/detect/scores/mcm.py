"""Maximum concept matching: how well an image fits its best class name, for zero-shot models."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import float64_device
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.msp import msp
from unshaken.models.zero_shot import ZeroShot


class CosineScale(Query):
    """Factor of a zero-shot model's cosines, as `value` `[N]`; it costs no pass.

    Args:
        points: `[N, C, H, W]`.
    """

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        net = passes.model.net if isinstance(passes, Oracle) else None
        if not isinstance(net, ZeroShot):
            name = passes.model.name if isinstance(passes, Oracle) else "model"
            raise ModelError(
                f"mcm: {name!r} is no zero-shot model (openclip:...): its logits are not cosines between an image and "
                "class names; use msp or max-logit"
            )
        return Answer(
            value=net.scale.detach().to(float64_device(net.scale.device)).double().reshape(1).expand(len(self.points))
        )


@register("mcm", reference="Ming et al. 2022, arXiv:2211.13445", needs=("logits", "text"))
class MCM(Detector):
    """MCM: one minus the maximum softmax of the cosines between an image and the class names (zero-shot models)."""

    temperature: PositiveFloat = Field(default=1.0, description="T, divides the cosines")

    @override
    def fit(self, fit_data: FitData) -> QueryGenerator[Bank]:
        answer = yield CosineScale(fit_data.held_out.pixels[:1])
        return {"scale": required(answer.value)[0].clone()}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return msp(torch.softmax(forward.z / (bank["scale"] * self.temperature), 1))

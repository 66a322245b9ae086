"""Maximum softmax probability after temperature scaling."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.msp import msp
from unshaken.measure.calibration.temperature import fit_temperature

RANGE = (0.1, 10.0)
"""Least and largest T where no T is best: where every sample is right, and where the logits say nothing of labels."""


@register("temperature-scaling", reference="Guo et al. 2017, arXiv:1706.04599")
class TemperatureScaling(Detector):
    """Temperature scaling: one minus the maximum softmax probability at the temperature fitted on held-out labels."""

    labelled = True

    @override
    def fit(self, fit_data: FitData) -> Bank:
        held = fit_data.held_out
        if held.labels is None:
            raise DataError("temperature-scaling: the held-out samples have no labels to set a temperature by")
        fitted = fit_temperature(held.logits.cpu().numpy(), held.labels.cpu().numpy())
        value = fitted.value if fitted.inside else min(max(fitted.value, RANGE[0]), RANGE[1])
        return {"temperature": torch.tensor(value, dtype=torch.float64, device=held.logits.device)}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return msp((forward.z / bank["temperature"]).softmax(1))

"""The cost of screening, measured on detectors whose cost is known to differ."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.latency import latency
from unshaken.detect.engine.screen import FittedDetector
from unshaken.detect.scores.energy import Energy
from unshaken.detect.scores.odin import ODIN
from unshaken.models import load_model


@pytest.fixture(scope="module")
def detector_set():
    model = load_model("demo")
    normal = torch.linspace(-10, 0, 99).double()
    detectors = {"energy": FittedDetector(Energy(), {}, normal), "odin": FittedDetector(ODIN(), {}, normal)}
    return DetectorSet(model, Anatomy.of(model, torch.rand(2, 1, 28, 28)), detectors, {})


def test_what_asks_again_costs_passes_and_what_reads_one_pass_hardly_anything(detector_set):
    found = latency(detector_set, torch.rand(48, 1, 28, 28), batch_size=24, repeats=3)
    assert found.images == 48
    assert found.ratio == found.with_all / found.without
    assert found.alone["odin"] > found.alone["energy"]
    assert found.with_all > found.alone["odin"]
    assert found.spread[0] <= found.spread[1]


def test_nothing_to_time(detector_set):
    with pytest.raises(ParameterError, match="0 images"):
        latency(detector_set, torch.rand(0, 1, 28, 28))
    with pytest.raises(ParameterError, match="repeats=0"):
        latency(detector_set, torch.rand(2, 1, 28, 28), repeats=0)

"""The cost of screening, measured on detectors whose cost is known to differ."""

from __future__ import annotations

from itertools import accumulate
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
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


class Counted(nn.Module):
    """Notes how many images came at once."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return x.flatten(1)[:, :2]


def test_medians_and_quartiles_are_of_the_rounds_after_the_warm_up(monkeypatch):
    """A clock by hand; the first round takes 9 s with and without and is not counted."""
    plain, full, own = [9, 1, 2, 3, 4, 5], [9, 4, 4, 9, 4, 5], [9.0, 1, 2, 3, 4, 5]
    steps = [0] + [step for a, b in zip(plain, full, strict=True) for step in (a, 100, b, 100)]
    clock = accumulate(steps)
    monkeypatch.setattr("unshaken.detect.engine.latency.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    scored = iter([{"energy": SimpleNamespace(seconds=torch.tensor([s / 2, s / 2]))} for s in own])
    monkeypatch.setattr("unshaken.detect.engine.latency.screen", lambda *given: next(scored))
    model = Classifier(Counted()).eval()
    some = DetectorSet(model, None, {"energy": None}, {})
    found = latency(some, torch.rand(4, 1, 2, 2), batch_size=3)
    assert (found.without, found.with_all, found.alone) == (3 / 4, 4 / 4, {"energy": 3 / 4})
    assert found.spread == (1, 3)  # of the ratios 4, 2, 3, 1, 1
    assert (found.images, found.ratio) == (4, 4 / 3)
    assert model.net.seen[-12:] == [3, 1] * 6


def test_nothing_to_time(detector_set):
    with pytest.raises(ParameterError, match="0 images"):
        latency(detector_set, torch.rand(0, 1, 28, 28))
    with pytest.raises(ParameterError, match="repeats=0"):
        latency(detector_set, torch.rand(2, 1, 28, 28), repeats=0)
    with pytest.raises(ParameterError, match="batch_size=0"):
        latency(detector_set, torch.rand(2, 1, 28, 28), batch_size=0)
    with pytest.raises(ParameterError, match="give 1 or more"):
        latency(detector_set, torch.rand(2, 1, 28, 28), warm_up=-1)
    assert latency(detector_set, torch.rand(1, 1, 28, 28), batch_size=1, repeats=1, warm_up=0).images == 1

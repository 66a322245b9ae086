"""Energy of clipped features."""

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import Energy
from unshaken.detect.scores.react import ReAct

HEAD = Anatomy("toy", 2, "head", (), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]), torch.zeros(2))


def forward(features):
    return ForwardPass(HEAD, HEAD.read_out(features).float(), {"head:in": features})


def test_published_features():
    found = ReAct().score(forward(torch.tensor([[0.1, 2, 0.5, 1]])), {"clip": torch.tensor(1.0)})
    assert found.item() == pytest.approx(-2.220417, abs=1e-6)


def test_the_clip_is_one_percentile_of_all_units_and_samples():
    features = torch.rand(200, 4) * torch.tensor([1.0, 2, 5, 10])
    bank = ReAct(percentile=85).fit(FitData(HEAD, rows={"penultimate": features}))
    assert bank["clip"].item() == pytest.approx(np.percentile(features.numpy().ravel(), 85), rel=1e-6)


def test_without_a_clip_it_is_energy():
    sample = forward(torch.rand(20, 4) * 3)
    found = ReAct().score(sample, {"clip": torch.tensor(torch.inf)})
    assert torch.allclose(found, Energy().score(sample, {}), atol=1e-6)


def test_a_huge_unit_does_not_make_a_sample_normal():
    features = torch.rand(100, 4)
    bank = ReAct().fit(FitData(HEAD, rows={"penultimate": features}))
    odd, normal = forward(torch.tensor([[0.0, 0, 50, 0]])), forward(features)
    assert ReAct().score(odd, bank) > ReAct().score(normal, bank).median()
    assert Energy().score(odd, {}) < Energy().score(normal, {}).median()


@pytest.mark.parametrize("percentile", [0, 101])
def test_percentile_is_one(percentile):
    with pytest.raises(ParameterError, match=f"percentile={percentile}"):
        ReAct(percentile=percentile)

"""Energy and residual."""

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.residual import origin, principal_dimensions
from unshaken.detect.scores.vim import ViM

HEAD = Anatomy("toy", 2, "head", (), torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.zeros(2))
TRAIN = torch.tensor([[1, 0, 0.1], [0, 1, -0.1], [2, 0, 0.1], [0, 2, -0.1]])


def forward(features, head=HEAD):
    return ForwardPass(head, head.read_out(features).float(), {"head:in": features})


def fit_data(features, head=HEAD):
    moments = Moments(2)
    moments.add(features, torch.zeros(len(features), dtype=torch.int64))
    rows = {"penultimate": features, "logits": head.read_out(features).float()}
    return FitData(head, {"head:in": moments}, rows)


def test_published_features():
    method = ViM(dimensions=2)
    values = torch.linalg.eigvalsh(fit_data(TRAIN).moments["head:in"].second(torch.zeros(3)))
    assert values.tolist() == pytest.approx([0.000993, 1.25, 1.259007], abs=1e-6)
    bank = method.fit(fit_data(TRAIN))
    assert bank["alpha"].item() == pytest.approx(50.1401, abs=1e-4)
    assert method.score(forward(torch.tensor([[1.0, 0, 1]])), bank).item() == pytest.approx(45.6470, abs=1e-3)


def test_alpha_balances_the_two_parts_on_normal_samples():
    torch.manual_seed(0)
    head = Anatomy("toy", 3, "head", (), torch.randn(3, 8), torch.randn(3))
    features = torch.randn(200, 8) + 1
    bank = ViM(dimensions=5).fit(fit_data(features, head))
    r = torch.linalg.vector_norm((features.double() - bank["origin"]) @ bank["space"], dim=1)
    expected = head.read_out(features).amax(1).mean()
    assert (bank["alpha"] * r).mean().item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_space_is_that_of_numpy():
    torch.manual_seed(1)
    head = Anatomy("toy", 3, "head", (), torch.randn(3, 6), torch.randn(3))
    features = torch.randn(300, 6) * torch.tensor([5.0, 4, 3, 2, 1, 0.5]) + 0.3
    bank = ViM(dimensions=2).fit(fit_data(features, head))
    o = -np.linalg.pinv(head.weight.double().numpy()) @ head.bias.double().numpy()
    x = features.double().numpy() - o
    _, _, directions = np.linalg.svd(x, full_matrices=False)
    assert np.allclose(bank["space"] @ bank["space"].T, directions[2:].T @ directions[2:], atol=1e-8)


def test_the_origin_gives_no_logits():
    weight, bias = torch.randn(3, 8), torch.randn(3)
    assert torch.allclose(weight.double() @ origin(weight, bias) + bias, torch.zeros(3, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize(("d", "principal"), [(2048, 1000), (1024, 512), (768, 512), (48, 24)])
def test_the_usual_dimensions(d, principal):
    head = Anatomy("toy", 2, "head", (), torch.ones(2, d), torch.zeros(2))
    moments = Moments(2)
    moments.add(torch.rand(4, d), torch.zeros(4, dtype=torch.int64))
    moments._squares = torch.eye(d, dtype=torch.float64) * 4  # as if every direction were filled
    rows = {"penultimate": torch.rand(4, d), "logits": torch.rand(4, 2)}
    assert ViM().fit(FitData(head, {"head:in": moments}, rows))["space"].shape == (d, d - principal)


def test_the_usual_dimensions_below_their_bounds():
    assert [principal_dimensions(d) for d in (2047, 767, 3, 2)] == [512, 383, 1, 1]


def test_as_many_dimensions_as_features_are_refused():
    with pytest.raises(ParameterError, match="vim: dimensions=3 of 3 features leave no residual; give fewer than 3"):
        ViM(dimensions=3).fit(fit_data(TRAIN))


def test_dead_units_are_no_residual():
    torch.manual_seed(2)
    features = torch.cat([torch.rand(100, 4), torch.zeros(100, 6)], 1)
    head = Anatomy("toy", 2, "head", (), torch.randn(2, 10), torch.zeros(2))
    bank = ViM().fit(fit_data(features, head))  # D = 5 of 10 would leave empty directions only: half of 4 it is
    assert bank["space"].shape == (10, 8)
    assert bank["alpha"] < 100
    with pytest.raises(DataError, match="vim: normal features fill 4 of 10 directions"):
        ViM(dimensions=4).fit(fit_data(features, head))


def test_constant_features_are_refused():
    with pytest.raises(DataError, match="vim: normal features fill 1 of 3 directions"):
        ViM().fit(fit_data(torch.ones(10, 3)))

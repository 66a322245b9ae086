"""Energy without the largest singular component of the last maps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.rankfeat import RankFeat, without_first_rank


def expected(maps):
    """By NumPy's singular value decomposition of each sample."""
    rows = []
    for x in maps.double().numpy():
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        rows.append((x - s[0] * np.outer(u[:, 0], vt[0])).mean(1))
    return np.stack(rows)


@pytest.mark.parametrize("shape", [(8, 3), (3, 8), (5, 5), (6, 1), (1, 6)])
def test_the_average_is_that_of_numpy(shape):
    torch.manual_seed(0)
    maps = torch.randn(7, *shape).relu()
    assert np.allclose(without_first_rank(maps), expected(maps), atol=1e-9)


def test_maps_of_one_direction_leave_the_bias_alone():
    """Maps of rank 1 vanish, so that the energy is that of the bias, `-log(e^1 + e^2)`."""
    head = Anatomy("toy", 2, "head", (), torch.randn(2, 3), torch.tensor([1.0, 2.0]), "body")
    maps = torch.einsum("c,hw->chw", torch.tensor([1.0, 2, 0]), torch.rand(2, 2))[None]
    found = RankFeat().score(ForwardPass(head, torch.zeros(1, 2), {"body": maps}), {})
    assert found.item() == pytest.approx(-math.log(math.e + math.e**2), abs=1e-6)


def test_tokens_and_rectified_maps_are_those_of_the_head():
    torch.manual_seed(1)
    maps = torch.randn(3, 4, 2, 3)
    plain = Anatomy("toy", 2, "head", (), torch.randn(2, 4), torch.randn(2), "body")
    rectified = Anatomy("toy", 2, "head", (), plain.weight, plain.bias, "body", True)
    z = torch.zeros(3, 2)
    of_maps = RankFeat().score(ForwardPass(plain, z, {"body": maps.relu()}), {})
    assert torch.allclose(RankFeat().score(ForwardPass(rectified, z, {"body": maps}), {}), of_maps)
    tokens = maps.relu().flatten(2).mT
    assert torch.allclose(RankFeat().score(ForwardPass(plain, z, {"body": tokens}), {}), of_maps)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_the_gradient_is_that_of_the_average(shape):
    torch.manual_seed(2)
    maps = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(without_first_rank, maps)


def test_the_gradient_is_finite_where_singular_values_are_equal():
    maps = torch.eye(4).expand(2, 4, 4).clone().requires_grad_(True)
    without_first_rank(maps).sum().backward()
    assert maps.grad.isfinite().all()
    nothing = torch.zeros(1, 4, 4, requires_grad=True)
    without_first_rank(nothing).sum().backward()
    assert nothing.grad.isfinite().all()


def test_a_head_that_weighs_no_average_is_refused():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 3))
    anatomy = Anatomy.of(Classifier(net, name="flat").eval(), torch.rand(2, 1, 8, 8))
    with pytest.raises(ModelError, match="rankfeat: no layer of model 'flat' has maps whose average its head weighs"):
        RankFeat().layers(anatomy)

"""Energy guided by the nearest normal features."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores import nnguide as nnguide_file
from unshaken.detect.scores.nnguide import NNGuide, guidance


def forward(anatomy, features):
    return ForwardPass(anatomy, anatomy.read_out(features).float(), {"head:in": features})


def fitted(anatomy, features, k):
    rows = {"penultimate": features, "logits": anatomy.read_out(features).float()}
    return NNGuide(k=k).fit(FitData(anatomy, rows=rows))


def test_two_samples_by_hand(anatomy):
    """Bank rows (1, 0) and (0, 1), E = log(e^3 + 1) and log(1 + e^4); the query (3, 4) has u = (0.6, 0.8)."""
    bank = fitted(anatomy, torch.tensor([[3.0, 0], [0, 4]]), 1)
    first, second, own = math.log(math.exp(3) + 1), math.log(1 + math.exp(4)), math.log(math.exp(3) + math.exp(4))
    sample = forward(anatomy, torch.tensor([[3.0, 4]]))
    assert NNGuide(k=1).score(sample, bank).item() == pytest.approx(-0.8 * second * own, rel=1e-6)
    both = (0.6 * first + 0.8 * second) / 2
    assert NNGuide(k=2).score(sample, bank).item() == pytest.approx(-both * own, rel=1e-6)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_scores_are_those_of_the_equation_in_numpy(anatomy, k, monkeypatch):
    torch.manual_seed(0)
    normal, tested = torch.randn(400, 2), torch.randn(50, 2)
    bank = fitted(anatomy, normal, k)
    f, x = normal.double().numpy(), tested.double().numpy()
    similarities = (x / np.linalg.norm(x, axis=1)[:, None]) @ (
        f / np.linalg.norm(f, axis=1)[:, None] * logsumexp(f, axis=1)[:, None]
    ).T
    expected = -np.sort(similarities, 1)[:, -k:].mean(1) * logsumexp(x, axis=1)  # the head is the identity
    monkeypatch.setattr(nnguide_file, "CELLS", 3000)  # several pieces
    found = NNGuide(k=k).score(forward(anatomy, tested), bank)
    assert np.allclose(found, expected, atol=2e-5)


def test_the_gradient_is_that_of_the_mean():
    torch.manual_seed(1)
    queries = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    bank = torch.randn(40, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: guidance(q, bank, 7), queries)


def test_bad_values(anatomy):
    with pytest.raises(DataError, match=r"nnguide: the bank has 4 samples, fewer than k=9: .* such as nnguide:k=1$"):
        fitted(anatomy, torch.rand(4, 2), 9)
    with pytest.raises(ParameterError, match="k"):
        NNGuide(k=0)

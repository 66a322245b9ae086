"""Distance to the decision boundaries."""

import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.fdbd import FDBD


def forward(features, head):
    return ForwardPass(head, head.read_out(features).float(), {"head:in": features})


def fitted(method, features, head):
    moments = Moments(head.classes)
    moments.add(features, torch.zeros(len(features), dtype=torch.int64))
    return method.fit(FitData(head, {"head:in": moments}))


def test_the_distance_to_the_diagonal_by_hand(anatomy):
    """The head is the identity, so that the boundary is the diagonal: (3, 1) is sqrt(2) away from it."""
    normal = torch.tensor([[0.0, 1], [0, 1]])
    sample = forward(torch.tensor([[3.0, 1]]), anatomy)
    found = FDBD().score(sample, fitted(FDBD(), normal, anatomy))
    assert found.item() == pytest.approx(-math.sqrt(2) / 3)
    method = FDBD(normaliser="norm")
    assert method.score(sample, fitted(method, normal, anatomy)).item() == pytest.approx(-math.sqrt(2) / math.sqrt(10))


def test_scores_are_those_of_the_authors_equation():
    torch.manual_seed(0)
    head = Anatomy("toy", 5, "head", (), torch.randn(5, 8), torch.randn(5))
    normal, tested = torch.randn(60, 8) + 1, torch.randn(20, 8)
    w, b = head.weight.double().numpy(), head.bias.double().numpy()
    x, mean = tested.double().numpy(), normal.double().numpy().mean(0)
    z = x @ w.T + b
    expected = []
    for f, logits in zip(x, z, strict=True):
        p = logits.argmax()
        away = [abs(logits[c] - logits[p]) / np.linalg.norm(w[c] - w[p]) for c in range(5) if c != p]
        expected.append(-np.mean(away) / np.linalg.norm(f - mean))
    found = FDBD().score(forward(tested, head), fitted(FDBD(), normal, head))
    assert np.allclose(found, expected, rtol=1e-5)


def test_classes_of_the_same_weights_have_no_boundary_and_the_mean_itself_has_a_score():
    head = Anatomy("toy", 3, "head", (), torch.tensor([[1.0, 0], [1, 0], [0, 1]]), torch.tensor([0.5, 0, 0]))
    normal = torch.tensor([[2.0, 0], [4, 0]])
    found = FDBD().score(forward(torch.tensor([[3.0, 0], [5, 0]]), head), fitted(FDBD(), normal, head))
    assert found.isfinite().all()
    assert found[1].item() == pytest.approx(-(5.5 / math.sqrt(2)) / 2 / 2)  # one of two other classes counts
    assert found[0] < found[1]


def test_parameters_are_checked():
    with pytest.raises(ParameterError, match="normaliser"):
        FDBD(normaliser="l1")

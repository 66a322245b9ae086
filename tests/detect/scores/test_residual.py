"""The part of features outside the principal space."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.residual import Residual


def fit_data(features, head):
    moments = Moments(head.classes)
    moments.add(features, torch.zeros(len(features), dtype=torch.int64))
    return FitData(head, {"head:in": moments})


def forward(features, head):
    return ForwardPass(head, head.read_out(features).float(), {"head:in": features})


def test_a_plane_by_hand():
    """Normal features lie near the plane of the first two units: the third unit is the residual."""
    head = Anatomy("toy", 2, "head", (), torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.zeros(2))
    normal = torch.tensor([[1.0, 0, 0.1], [-1, 0, 0.1], [0, 2, -0.1], [0, -2, -0.1]])
    bank = Residual(dimensions=2).fit(fit_data(normal, head))
    found = Residual().score(forward(torch.tensor([[5.0, 7, 0], [0, 0, -3], [4, 4, 0.5]]), head), bank)
    assert found.tolist() == pytest.approx([0, 3, 0.5], abs=1e-12)


def test_scores_are_those_of_scikit_learn_and_numpy():
    torch.manual_seed(0)
    head = Anatomy("toy", 4, "head", (), torch.randn(4, 9), torch.randn(4))
    normal, tested = torch.randn(200, 9) @ torch.randn(9, 9), torch.randn(30, 9)
    u = -np.linalg.pinv(head.weight.double().numpy()) @ head.bias.double().numpy()
    covariance = EmpiricalCovariance(assume_centered=True).fit(normal.double().numpy() - u).covariance_
    values, vectors = np.linalg.eigh(covariance)
    space = vectors[:, np.argsort(-values)[5:]]
    expected = np.linalg.norm((tested.double().numpy() - u) @ space, axis=1)
    found = Residual().score(forward(tested, head), Residual(dimensions=5).fit(fit_data(normal, head)))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-8)


def test_messages_name_the_detector(anatomy):
    with pytest.raises(ParameterError, match=r"^residual: dimensions=2 of 2 features leave no residual"):
        Residual(dimensions=2).fit(fit_data(torch.rand(9, 2), anatomy))
    with pytest.raises(DataError, match=r"^residual: normal features fill 1 of 2 directions"):
        Residual(dimensions=1).fit(fit_data(torch.ones(9, 2), anatomy))
    with pytest.raises(ParameterError, match="dimensions"):
        Residual(dimensions=0)

"""Share of the features in their principal space."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.neco import NECO


def forward(features, head):
    return ForwardPass(head, head.read_out(features).float(), {"head:in": features})


def fitted(method, features, head):
    moments = Moments(head.classes)
    moments.add(features, torch.zeros(len(features), dtype=torch.int64))
    return method.fit(FitData(head, {"head:in": moments}))


@pytest.fixture
def head():
    torch.manual_seed(0)
    return Anatomy("toy", 3, "head", (), torch.randn(3, 6), torch.randn(3))


@pytest.fixture
def normal():
    torch.manual_seed(1)
    mixed = torch.randn(200, 6) * torch.tensor([3.0, 2, 1, 0.5, 0.2, 0.1]) @ torch.randn(6, 6) + 1
    mixed[:, 2] = 4.0  # a unit that never varies
    return mixed


def test_correlated_units_by_hand(anatomy):
    """Units that always agree: the principal direction of standardised features is the diagonal."""
    normal = torch.tensor([[0.0, 0], [2, 4]])  # mean (1, 2), deviations (1, 2)
    method = NECO(variance=0.5, max_logit=False)
    bank = fitted(method, normal, anatomy)
    sample = forward(torch.tensor([[3.0, 6], [3, -2], [3, 2]]), anatomy)  # standardised (2, 2), (2, -2), (2, 0)
    assert method.score(sample, bank).tolist() == pytest.approx([-1, 0, -(0.5**0.5)], abs=1e-7)
    assert NECO(variance=0.5).score(sample, bank).tolist() == pytest.approx([-6, 0, -3 * 0.5**0.5], abs=1e-6)


@pytest.mark.parametrize("options", [{"dimensions": 2}, {"variance": 0.9}])
def test_scores_are_those_of_scikit_learn(head, normal, options):
    tested = torch.randn(30, 6)
    scaler = StandardScaler().fit(normal.double().numpy())
    scaled = scaler.transform(tested.double().numpy())
    pca = PCA(6).fit(scaler.transform(normal.double().numpy()))
    count = options.get("dimensions") or int((pca.explained_variance_ratio_.cumsum() < 0.9).sum()) + 1
    share = np.linalg.norm(pca.transform(scaled)[:, :count], axis=1) / np.linalg.norm(scaled, axis=1)
    bank = fitted(NECO(**options), normal, head)
    assert bank["space"].shape == (6, count)
    assert np.allclose(NECO(max_logit=False).score(forward(tested, head), bank), -share, rtol=1e-6)
    largest = head.read_out(tested).amax(1).numpy()
    assert np.allclose(NECO().score(forward(tested, head), bank), -share * largest, rtol=1e-5)


def test_the_mean_itself_has_a_score(head, normal):
    sample = forward(normal.double().mean(0, keepdim=True), head)
    assert NECO().score(sample, fitted(NECO(), normal, head)).isfinite().all()


def test_bad_values(head, normal):
    with pytest.raises(DataError, match="neco: none of the 6 features of normal samples varies"):
        fitted(NECO(), torch.ones(9, 6), head)
    with pytest.raises(ParameterError, match="neco: dimensions=5 of the 5 directions that normal features fill"):
        fitted(NECO(dimensions=5), normal, head)

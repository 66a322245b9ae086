"""Gaussians of classes by hand, and against scikit-learn; classes added without training."""

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.class_gaussians import ClassGaussians

CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
LABELS = torch.arange(8) // 4


def two():
    return ClassGaussians.fit(torch.cat([CROSS, CROSS + torch.tensor([4.0, 0])]), LABELS)


def test_means_covariance_and_distances_by_hand():
    found = two()
    assert found.means.tolist() == [[0, 0], [4, 0]]
    assert found.covariance.tolist() == [[0.5, 0], [0, 2]]
    points = torch.tensor([[0.0, 0], [2, 0], [4, 4], [1, 1]])
    assert found.distances(points).tolist() == [[0, 32], [8, 8], [40, 8], [2.5, 18.5]]
    assert found.euclidean(points).tolist() == [[0, 16], [4, 4], [32, 16], [2, 10]]


def test_an_added_class_has_its_share_in_the_covariance():
    added = two().with_class(3 * CROSS + torch.tensor([0.0, 9]))
    assert added.means.tolist() == [[0, 0], [4, 0], [0, 9]]
    assert torch.allclose(added.covariance, torch.diag(torch.tensor([(2 * 0.5 + 4.5) / 3, (2 * 2 + 18) / 3]).double()))
    same = two().with_class(CROSS + torch.tensor([0.0, 9]))
    assert torch.equal(same.covariance, two().covariance)


def test_a_class_from_one_sample_and_constant_directions():
    """The second feature never varies: it counts in no distance."""
    flat = ClassGaussians.fit(torch.tensor([[0.0, 5], [2, 5], [8, 5], [10, 5]]), torch.arange(4) // 2)
    added = flat.with_class(torch.tensor([[20.0, 5]]))
    assert added.covariance[0, 0].item() == pytest.approx(2 / 3)
    assert added.distances(torch.tensor([[19.0, 7]]))[0, 2].item() == pytest.approx(1.5)


def test_the_nearest_class_is_that_of_linear_discriminant_analysis():
    sklearn = pytest.importorskip("sklearn.discriminant_analysis")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    x = torch.randn(90, 4, generator=generator, dtype=torch.float64) @ torch.randn(
        4, 4, generator=generator, dtype=torch.float64
    )
    x += labels[:, None] * torch.tensor([1.0, -1, 0, 2])
    lda = sklearn.LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(x.numpy(), labels.numpy())
    points = torch.randn(50, 4, generator=generator, dtype=torch.float64) * 3
    found = ClassGaussians.fit(x, labels).distances(points).argmin(1)
    assert found.tolist() == lda.predict(points.numpy()).tolist()


def test_nothing_to_fit_is_refused():
    with pytest.raises(DataError, match="class 1 has no sample"):
        ClassGaussians.fit(CROSS, torch.tensor([0, 0, 2, 2]))
    with pytest.raises(DataError, match="without a sample"):
        two().with_class(CROSS[:0])

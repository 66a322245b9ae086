import pytest
import torch
from scipy.stats import spearmanr

from unshaken.core.errors import DataError
from unshaken.explain.engine.agreement import map_agreement, min_max


@pytest.fixture
def two():
    g = torch.Generator().manual_seed(0)
    one = torch.rand(3, 24, 20, generator=g)
    return one, 0.5 * one + 0.5 * torch.rand(3, 24, 20, generator=g).round(decimals=1)


def test_ranks_by_scipy(two):
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(*two, strict=True)]
    assert map_agreement(*two).tolist() == pytest.approx(expected, abs=1e-12)


def test_structural_similarity_by_scikit_image(two):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (min_max(x.double()).numpy() for x in two)
    options = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [metrics.structural_similarity(x, y, **options) for x, y in zip(a, b, strict=True)]
    assert map_agreement(*two, "ssim").tolist() == pytest.approx(expected, abs=1e-9)


def test_overlap_of_the_top_pixels_by_hand():
    one, other = torch.tensor([[[4.0, 3], [2, 1]]]), torch.tensor([[[1.0, 3], [2, 4]]])
    assert map_agreement(one, other, "top-k", top=0.5).tolist() == [0.5]


@pytest.mark.parametrize("by", ["spearman", "pearson", "top-k", "ssim"])
def test_equal_and_constant_maps(two, by):
    one, _ = two
    assert map_agreement(one, one, by).tolist() == pytest.approx([1, 1, 1])
    assert map_agreement(one, torch.ones_like(one), by).isnan().all()


def test_maps_of_other_shapes_are_told(two):
    with pytest.raises(DataError, match="give two of one shape"):
        map_agreement(two[0], two[1][:2])

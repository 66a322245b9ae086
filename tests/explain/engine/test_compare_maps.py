import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from unshaken.core.errors import DataError
from unshaken.explain.engine.compare_maps import (
    MapValues,
    compare_methods,
    compare_models,
    map_agreement,
    min_max,
    summarise,
)

NAN = float("nan")


def test_hits_are_a_share_and_other_values_a_mean():
    hits = summarise(np.array([1.0, 0, NAN, 1]), hits=True)
    assert (hits.value, hits.n, hits.interval) == (2 / 3, 3, "clopper-pearson 95%")
    mean = summarise(np.array([0.2, 0.6, NAN]))
    assert (mean.value, mean.n) == (pytest.approx(0.4), 2)
    assert mean.low == pytest.approx(0.2)
    assert mean.high == pytest.approx(0.6)
    assert summarise(np.array([NAN])) is None


def test_a_constant_difference_tells_nothing_of_other_images():
    """Paired: whatever the samples vary by, they gain 0.25 each; four do not show that others do."""
    values = np.array([0.1, 0.9, 0.4, 0.7])
    ids = ["a", "b", "c", "d"]
    figure = compare_methods(MapValues(ids, values), MapValues(ids[::-1], values[::-1] + 0.25))
    assert figure.value == pytest.approx(0.25)
    assert (figure.low, figure.high) == (-np.inf, np.inf)  # a metric may have any range


def test_models_are_compared_on_what_both_classify_rightly():
    one = MapValues(["a", "b", "c"], np.array([0.0, 0, 0]), np.array([True, True, False]))
    other = MapValues(["a", "b", "c"], np.array([1.0, 9, 9]), np.array([True, False, True]))
    figure = compare_models(one, other)
    assert (figure.value, figure.n) == (1, 1)
    with pytest.raises(DataError, match="give `correct` for each"):
        compare_models(one, MapValues(["a"], np.array([1.0])))


def test_samples_in_common_decide():
    assert compare_methods(MapValues(["a"], np.array([1.0])), MapValues(["b"], np.array([1.0]))) is None
    with pytest.raises(DataError, match="an id occurs twice"):
        MapValues(["a", "a"], np.array([1.0, 2]))
    with pytest.raises(DataError, match="give one id a value"):
        MapValues(["a"], np.array([1.0, 2]))


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

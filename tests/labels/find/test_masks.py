"""Wrong pixels of masks: by hand, against cleanlab 2.9 on random sets, and ignored pixels."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED
from unshaken.labels.find.masks import _lowest, find_masks, pixel_scores


def drawn(seed, n=5, k=4, side=8, wrong=0.1, dtype=np.float64):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, (n, side, side))
    z = rng.normal(0, 1, (n, k, side, side)) + 2.5 * (true[:, None] == np.arange(k)[:, None, None])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels = np.where(rng.random(true.shape) < wrong, rng.integers(0, k, true.shape), true)
    return labels, p.astype(dtype)


@pytest.fixture(scope="module")
def cleanlab():
    return pytest.importorskip("cleanlab.segmentation")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_and_flags_are_those_of_cleanlab(cleanlab, seed, dtype):
    labels, p = drawn(seed, dtype=dtype)
    found = find_masks(labels, p)
    scores, pixels = cleanlab.rank.get_label_quality_scores(labels, p, verbose=False)
    assert np.allclose(found.score, scores, rtol=0, atol=1e-12)
    assert np.array_equal(np.stack([pixel_scores(a, b) for a, b in zip(labels, p, strict=True)]), pixels)
    wanted = cleanlab.filter.find_label_issues(labels, p, n_jobs=1, verbose=False)
    assert np.array_equal(found.flagged, wanted)
    assert wanted.any()
    one = cleanlab.rank.get_label_quality_scores(labels, p, method="num_pixel_issues", n_jobs=1, verbose=False)[0]
    assert np.allclose(1 - found.flagged.mean((1, 2)), one)


@pytest.mark.parametrize("seed", range(3))
def test_shrunk_ones_too(cleanlab, seed):
    labels, p = drawn(seed, k=2)
    wanted = cleanlab.filter.find_label_issues(labels, p, n_jobs=1, verbose=False, downsample=2)
    assert np.array_equal(find_masks(labels, p, shrink=2).flagged, wanted)


def test_a_class_that_nobody_has(cleanlab):
    labels, p = drawn(0)
    labels[labels == 3] = 0
    wanted = cleanlab.filter.find_label_issues(labels, p, n_jobs=1, verbose=False)
    assert np.array_equal(find_masks(labels, p).flagged, wanted)


def test_four_pixels_by_hand():
    p = np.array([[0.9, 0.9], [0.2, 0.1]])
    probabilities = np.stack([p, 1 - p])[None]
    labels = np.array([[[0, 1], [1, 1]]])  # the second is wrong
    found = find_masks(labels, probabilities)
    assert found.flagged[0].tolist() == [[False, True], [False, False]]
    assert found.counts.tolist() == [[0, 0], [1, 0]]
    assert [pairs.tolist() for pairs in found.pairs] == [[[1, 0, 1]]]
    assert found.labelled.tolist() == [1, 3]
    own = np.array([0.9, 0.1, 0.8, 0.9])
    weights = np.exp((1 - own) / 0.1)
    assert found.score[0] == pytest.approx((own * weights).sum() / weights.sum())


def test_ignored_pixels_are_as_if_they_were_not_there():
    labels, p = drawn(2)
    masked = labels.copy()
    masked[:, :, :3] = IGNORED
    found, wanted = find_masks(masked, p), find_masks(labels[:, :, 3:], p[..., 3:])
    assert np.allclose(found.score, wanted.score, rtol=0, atol=1e-12)
    assert np.array_equal(found.flagged[:, :, 3:], wanted.flagged)
    assert not found.flagged[:, :, :3].any()
    assert np.isnan(pixel_scores(masked[0], p[0])[:, :3]).all()
    empty = find_masks(np.full((1, 2, 2), IGNORED), p[:1, :, :2, :2])
    assert empty.score.tolist() == [1.0]
    assert not empty.flagged.any()


def test_a_mapped_file_gives_the_same(tmp_path):
    labels, p = drawn(1)
    np.save(tmp_path / "p.npy", p)
    mapped = find_masks(labels, np.load(tmp_path / "p.npy", mmap_mode="r"))
    assert np.array_equal(mapped.flagged, find_masks(labels, p).flagged)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m, p: (m[:, :3], p), r"masks must be whole numbers of shape \(5, 8, 8\)"),
        (lambda m, p: (m.astype(float), p), "masks must be whole numbers"),
        (lambda m, p: (np.where(m == 3, 7, m), p), "holds 7: needed are classes from 0 to 3, or 255"),
        (lambda m, p: (np.where(m == 3, -1, m), p), "holds -1"),
        (lambda m, p: (m, np.log(p)), r"image 0 run from .* \(are these logits\?\)"),
        (lambda m, p: (m, np.where(p == p.max(), np.nan, p)), "needed are probabilities that sum to 1"),
        (lambda m, p: (m, p[:, 0]), r"must be floating-point numbers \[N, K, H, W\]"),
        (lambda m, p: (m, p.round().astype(int)), "floating-point"),
    ],
)
def test_bad_input_is_one_line(spoil, message):
    with pytest.raises(DataError, match=message):
        find_masks(*spoil(*drawn(0)))


def test_a_factor_must_divide_the_sides():
    labels, p = drawn(0)
    with pytest.raises(DataError, match="shrink=3 must divide height and width, 8 and 8"):
        find_masks(labels, p, shrink=3)
    labels[0, 0, 0] = IGNORED
    with pytest.raises(DataError, match="mask 0 has ignored pixels"):
        find_masks(labels, p, shrink=2)


@pytest.mark.parametrize("levels", [7, 10**9])
def test_the_lowest_of_many_are_those_of_a_stable_sort(levels):
    values = np.random.default_rng(0).integers(0, levels, 3000).astype(float)
    for count in (0, 1, 2, 500, 1501, 2999, 3000):
        wanted = np.argsort(values, kind="stable")[:count]
        assert np.flatnonzero(_lowest(values, count)).tolist() == sorted(wanted.tolist())

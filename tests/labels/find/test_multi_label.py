"""Labels of several classes: by hand, and against cleanlab 2.9 on random sets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.labels.find.multi_label import find_multi_label, softmin

FILTERS = ("prune-by-noise-rate", "prune-by-class", "both", "confident-learning", "predicted-neq-given",
           "low-normalized-margin", "low-self-confidence")  # fmt: skip
SCORES = ("self-confidence", "normalized-margin", "confidence-weighted-entropy")


def drawn(seed, n=150, k=4, wrong=0.1):
    """Labels of several classes with some wrong ones, and probabilities that know the true ones, roughly."""
    rng = np.random.default_rng(seed)
    true = rng.random((n, k)) < rng.uniform(0.2, 0.7, k)
    p = np.clip(np.where(true, 0.8, 0.2) + rng.normal(0, 0.2, (n, k)), 0.001, 0.999)
    return np.where(rng.random((n, k)) < wrong, ~true, true).astype(int), p


def lists(labels):
    return [np.flatnonzero(row).tolist() for row in labels]


@pytest.fixture(scope="module")
def cleanlab():
    return pytest.importorskip("cleanlab.multilabel_classification")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", SCORES)
@pytest.mark.parametrize("pool", ["moving-average", "softmin"])
def test_scores_are_those_of_cleanlab(cleanlab, seed, method, pool):
    labels, p = drawn(seed)
    name = method.replace("-", "_")
    how = {"method": "softmin"} if pool == "softmin" else {"method": "exponential_moving_average", "alpha": 0.8}
    for adjust in (False, True)[: 1 + (method != "confidence-weighted-entropy")]:
        found = find_multi_label(labels, p, method=method, pool=pool, adjust=adjust)
        options = {"method": name, "adjust_pred_probs": adjust}
        wanted = cleanlab.get_label_quality_scores(lists(labels), p, aggregator_kwargs=how, **options)
        assert np.allclose(found.score, wanted, rtol=0, atol=1e-12)
        one_by_one = cleanlab.rank.get_label_quality_scores_per_class(lists(labels), p, **options)
        assert np.allclose(found.class_scores, one_by_one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("filter", FILTERS)
def test_flags_are_those_of_cleanlab(cleanlab, seed, filter):
    labels, p = drawn(seed)
    found = find_multi_label(labels, p, filter=filter)
    options = {"filter_by": filter.replace("-", "_"), "n_jobs": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = cleanlab.filter.find_label_issues(lists(labels), p, **options)
        each = cleanlab.filter.find_multilabel_issues_per_class(lists(labels), p, **options)
    assert np.array_equal(found.flagged, wanted)
    assert np.array_equal(found.class_flagged, each)
    assert 0 < found.flagged.sum() < len(p)


def test_two_samples_by_hand():
    labels, p = np.array([[1, 0], [1, 1], [0, 0], [0, 1]]), np.array([[0.9, 0.2], [0.9, 0.05], [0.1, 0.1], [0.2, 0.9]])
    found = find_multi_label(labels, p)
    assert found.class_scores.tolist() == [[0.9, 0.8], [0.9, 0.05], [0.9, 0.9], [0.8, 0.9]]
    assert found.score[1] == pytest.approx(0.8 * 0.05 + 0.2 * 0.9)
    assert found.class_flagged.tolist() == [[False, False], [False, True], [False, False], [False, False]]
    assert found.flagged.tolist() == [False, True, False, False]


def test_a_low_temperature_gives_the_lowest_score():
    assert softmin(np.array([[0.3, 0.9, 0.5]]), 1e-3).tolist() == pytest.approx([0.3])


def test_a_class_that_nobody_has_and_a_sample_without_any():
    labels, p = drawn(0)
    labels[:, 2], labels[5] = 0, 0
    found = find_multi_label(labels, p)
    assert np.isfinite(found.score).all()


def test_columns_of_a_mapped_file_give_the_same(tmp_path):
    labels, p = drawn(1)
    np.save(tmp_path / "p.npy", p)
    mapped = find_multi_label(labels, np.load(tmp_path / "p.npy", mmap_mode="r"))
    assert np.array_equal(mapped.score, find_multi_label(labels, p).score)


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([[1, 0]], np.zeros((2, 2)), r"labels have the shape \(1, 2\), probabilities \(2, 2\)"),
        ([1, 0], np.zeros(2), "one row a sample, one column a class"),
        ([[2, 0]], np.zeros((1, 2)), "must be 0 or 1"),
        ([[1, 0]], np.array([[0.5, np.nan]]), "row 0, class 1 has nan"),
        ([[1, 0]], np.array([[0.5, 1.5]]), r"class 1 has 1.5; needed are numbers in \[0, 1\] \(are these logits"),
    ],
)
def test_bad_input_is_one_line(labels, p, message):
    with pytest.raises(DataError, match=message):
        find_multi_label(labels, p)

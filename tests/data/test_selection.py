"""Subsets: shares by hand, and independence from the order of the files."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.data import load_data, subset


def labelled(tmp_path, make, labels, ids=None, name="a"):
    ids = ids or [f"s{i}" for i in range(len(labels))]
    return load_data(make.table(tmp_path / f"{name}.parquet", [b""] * len(labels), label=labels, id=ids))


def counts(data, chosen):
    return np.bincount(data.labels[chosen], minlength=data.labels.max() + 1).tolist()


def test_shares_are_rounded_by_largest_remainder(tmp_path, make):
    data = labelled(tmp_path, make, [0] * 50 + [1] * 30 + [2] * 20)
    assert counts(data, subset(data, 10, 0)) == [5, 3, 2]
    assert counts(data, subset(data, 7, 0)) == [4, 2, 1]  # 3.5, 2.1, 1.4: the largest remainder is 0.5
    assert counts(data, subset(data, 8, 0)) == [4, 2, 2]  # 4.0, 2.4, 1.6
    assert counts(data, subset(data, 1, 0)) == [1, 0, 0]


def test_ties_are_drawn_and_not_won_by_the_first_labels(tmp_path, make):
    data = labelled(tmp_path, make, list(range(40)))
    chosen = [set(data.labels[subset(data, 10, seed)].tolist()) for seed in range(20)]
    assert len(set().union(*chosen)) > 35
    assert len({frozenset(c) for c in chosen}) == 20


def test_the_choice_is_by_id_and_seed(tmp_path, make):
    ids, labels = [f"s{i}" for i in range(60)], [i % 3 for i in range(60)]
    order = np.random.default_rng(0).permutation(60).tolist()
    data = labelled(tmp_path, make, labels, ids)
    other = labelled(tmp_path, make, [labels[i] for i in order], [ids[i] for i in order], "b")
    one = {data.ids[i] for i in subset(data, 20, 3)}
    assert one == {other.ids[i] for i in subset(other, 20, 3)}
    assert one != {data.ids[i] for i in subset(data, 20, 4)}


def test_indices_rise_and_do_not_repeat(tmp_path, make):
    chosen = subset(labelled(tmp_path, make, [i % 7 for i in range(100)]), 33, 0)
    assert len(chosen) == 33
    assert (np.diff(chosen) > 0).all()


def test_each_sample_is_as_likely_as_any_other(tmp_path, make):
    data = labelled(tmp_path, make, [0] * 20)
    times = np.zeros(20)
    for seed in range(400):
        times[subset(data, 5, seed)] += 1
    assert abs(times.mean() - 100) < 1e-9
    assert times.min() > 100 - 5 * 8.7  # binomial: 5 standard deviations of sqrt(400 / 4 * 3 / 4)
    assert times.max() < 100 + 5 * 8.7


@pytest.mark.parametrize("limit", [None, 5, 6, 10**9])
def test_a_limit_beyond_the_set_is_all(tmp_path, make, limit):
    assert subset(labelled(tmp_path, make, [0, 1, 0, 1, 0]), limit, 0).tolist() == [0, 1, 2, 3, 4]


def test_bad_labels_keep_their_share_and_no_labels_is_one_group(tmp_path, make):
    data = labelled(tmp_path, make, [0] * 8 + [-5] * 8)
    assert sorted(data.labels[subset(data, 4, 0)].tolist()) == [-1, -1, 0, 0]
    loose = load_data(make.table(tmp_path / "c.parquet", [b""] * 9))
    assert len(subset(loose, 4, 0)) == 4


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(tmp_path, make, limit):
    with pytest.raises(ParameterError, match=f"limit={limit} must be 1 or more"):
        subset(labelled(tmp_path, make, [0]), limit, 0)

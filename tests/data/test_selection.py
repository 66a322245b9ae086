"""Subsets: shares by hand, and independence from the order of the files."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data, subset
from unshaken.data.selection import Selection, long_tail_rows, tail_counts


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


def test_counts_of_long_tailed_cifar():
    assert tail_counts(5000, 10, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert [sum(tail_counts(5000, 10, ratio)) for ratio in (10, 100)] == [20_431, 12_406]
    hundred = tail_counts(500, 100, 100)
    assert (hundred[0], hundred[-1], sum(hundred)) == (500, 5, 10_847)
    assert tail_counts(7, 4, 1) == [7, 7, 7, 7]


def test_samples_of_a_class_are_drawn_by_their_ids():
    labels, ids = np.arange(60) % 3, [f"s{i}" for i in range(60)]
    rows = long_tail_rows(labels, 3, 4, ids)
    assert np.bincount(labels[rows]).tolist() == [20, 10, 5]
    assert (np.diff(rows) > 0).all()
    back = long_tail_rows(labels[::-1], 3, 4, ids[::-1])
    assert {ids[i] for i in rows} == {ids[::-1][i] for i in back}
    assert not np.array_equal(rows, long_tail_rows(labels, 3, 4, ids, seed=1))
    assert np.bincount(labels[long_tail_rows(labels, 3, 4, ids, most=8)]).tolist() == [8, 4, 2]


def test_classes_that_have_fewer_keep_all_and_bad_labels_leave():
    labels = np.array([0] * 8 + [1] * 2 + [2] * 8 + [-1])
    rows = long_tail_rows(labels, 3, 2, [str(i) for i in range(19)])
    assert np.bincount(labels[rows]).tolist() == [8, 2, 4]


def test_the_option_of_a_spec():
    whole, part = load_data("demo"), load_data("demo?longtail=10")
    assert np.bincount(part.labels).tolist() == tail_counts(100, 10, 10)
    row = whole.ids.index(part.ids[7])
    assert np.array_equal(part.read(7), whole.read(row))
    assert part.labels[7] == whole.labels[row]
    assert len({whole.fingerprint, part.fingerprint, load_data("demo?longtail=10:1").fingerprint}) == 3


def test_noise_comes_after_the_tail():
    part = load_data("demo?longtail=20")
    noisy = load_data("demo?longtail=20&noise=class-frequency:0.4")
    assert noisy.ids == part.ids
    assert noisy.realised_noise == np.mean(noisy.labels != part.labels) == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize("text", ["0.5", "many", "10:-1", "inf", "nan"])
def test_wrong_ratios_are_told(text):
    with pytest.raises(DataError, match=r"is not of the form RATIO\[:SEED\]"):
        load_data(f"demo?longtail={text}")


def test_data_without_labels_has_no_tail(tmp_path, make):
    (tmp_path / "one.png").write_bytes(make.encode(make.noise()))
    with pytest.raises(DataError, match="longtail needs labels"):
        load_data(f"folder:{tmp_path}?longtail=10")


def test_true_labels_and_the_labels_version_come_along():
    """A finder of wrong labels is judged by them, and runs on other versions are not compared."""
    data = load_data("demo").relabelled(np.roll(load_data("demo").labels, 1))
    data.labels_version = "second reading"
    rows = np.array([3, 5, 8])
    some = Selection(data, rows)
    assert some.true_labels.tolist() == data.true_labels[rows].tolist()
    assert some.labels_version == "second reading"


def test_the_halves_of_the_embedded_sample_share_nothing_and_hold_all():
    whole, first, second = (load_data(f"demo{option}") for option in ("", "?split=first", "?split=second"))
    assert sorted([*first.ids, *second.ids]) == sorted(whole.ids)
    assert np.bincount(first.labels).tolist() == np.bincount(second.labels).tolist() == [50] * 10
    assert len({whole.fingerprint, first.fingerprint, second.fingerprint}) == 3
    assert load_data("demo?split=second&size=14").read(3).shape == (14, 14, 1)
    with pytest.raises(DataError, match=r"no split 'frist'; did you mean 'first'\?"):
        load_data("demo?split=frist")


@pytest.mark.parametrize("option", ["longtail=٣", "longtail=10:٣", "noise=uniform:٠", "noise=uniform:0.1:٣"])
def test_numbers_of_options_are_of_ascii_digits(option):
    with pytest.raises(DataError, match="is not of the form"):
        load_data(f"demo?{option}")

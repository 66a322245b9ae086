"""Long tails: the counts of long-tailed CIFAR, which samples stay, and that noise comes after them."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.long_tail import long_tail_rows, tail_counts
from unshaken.data.selection import Selection


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

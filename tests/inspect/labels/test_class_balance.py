import pytest
import scipy.stats

from tests.inspect.images import find, plain
from unshaken.inspect import ClassBalance


def test_classes_are_counted_in_each_set_the_rarest_first():
    labels = ["a"] * 6 + ["b"] * 2 + [None] + ["a", "c"]
    found = find(ClassBalance(), [plain(0)] * 11, labels=labels, sets=[0] * 9 + [1, 1])
    _, columns, rows = found.table
    assert columns == ("class", "samples", "share", "samples, …train", "share, …train")
    assert [(row[0], row[1], row[3]) for row in rows] == [("c", 0, 1), ("b", 2, 0), ("a", 6, 1)]
    low, high = scipy.stats.binomtest(2, 8).proportion_ci(1 - 0.05 / 3, method="exact")
    assert (rows[1][2].low, rows[1][2].high) == pytest.approx((low, high))
    assert found.figures["rarest_class"].value == 0
    assert found.remarks == ("The data has no sample of 1 classes, such as c.",)


def test_data_without_labels_is_told():
    assert find(ClassBalance(), [plain(0)]).remarks == ("The data has no labels.",)

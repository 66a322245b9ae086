import numpy as np
import pytest
import scipy.stats

from tests.inspect.images import find, plain
from unshaken.inspect import SpuriousProperty
from unshaken.inspect.labels.spurious_property import judge_property


def test_a_property_that_is_the_label_predicts_it():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    shades = [int(rng.integers(0, 100) + 100 * k) for k in labels]
    found = find(SpuriousProperty(), [plain(shade) for shade in shades], labels=[f"k{k}" for k in labels])
    _, _columns, rows = found.table
    assert [row[0] for row in rows if row[-1] == "yes"] == ["brightness"]
    assert found.figures["property_accuracy"].value > 0.95
    assert found.remarks == ("The label can be told in part from brightness alone.",)


def test_the_test_is_that_of_kruskal_and_wallis_and_the_prediction_is_by_hand():
    values = np.array([1.0, 2, 3, 4, 5, 6, 17, 18, 19, 20, 21, 22])
    labels = np.array([0] * 6 + [1] * 6)
    first = np.arange(12) % 2 == 0  # learns 1, 3, 5 (0) and 17, 19, 21 (1): cut at 11
    found = judge_property(values, labels, first)
    assert found.p_value == pytest.approx(scipy.stats.kruskal(values[:6], values[6:]).pvalue)
    assert found.accuracy.value == 1
    assert found.majority == 0.5
    assert found.p_better == 0.5**3  # three more right than by the commonest class, none fewer
    assert judge_property(np.ones(12), labels, first) is None
    assert judge_property(values, np.zeros(12, int), first) is None


def test_no_property_is_named_by_chance_more_often_than_said():
    rng, named, runs = np.random.default_rng(1), 0, 400
    for _ in range(runs):
        found = judge_property(rng.random(60), rng.integers(0, 3, 60), rng.random(60) < 0.5)
        named += max(found.p_value, found.p_better) < 0.05
    assert scipy.stats.binomtest(named, runs, 0.05, alternative="greater").pvalue > 0.001

"""Multi-label accuracy: a toy by hand in four variants, what changes it and what must not, and confusions by hand."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import accuracy
from unshaken.measure.classification.multi_label_accuracy import MultiLabels, multi_label_accuracy

NONE: set[int] = set()
TOY = MultiLabels(
    [0, 0, 0, 1], [{0, 3}, {0}, {0}, {1}], [NONE, {5}, NONE, NONE], [NONE, NONE, NONE, {2}], [False, False, True, False]
)
PREDICTED = [3, 5, 0, 0]


def random_case(seed):
    """Predictions and the parts of annotations, every class with images that are kept."""
    rng = np.random.default_rng(seed)
    original = np.repeat(np.arange(5), 8)
    correct = [{int(k), *rng.choice(5, rng.integers(0, 3)).tolist()} for k in original]
    unclear = [set(rng.choice(5, rng.integers(0, 2)).tolist()) for _ in original]
    problematic = np.arange(40) % 8 == 3
    return rng.integers(0, 5, 40), (original, correct, unclear, (), problematic)


@pytest.mark.parametrize(
    ("strict", "average", "value"),
    [(False, "macro", 0.5), (False, "micro", 2 / 3), (True, "macro", 0.25), (True, "micro", 1 / 3)],
)
def test_the_toy_by_hand(strict, average, value):
    figure = multi_label_accuracy(PREDICTED, TOY, strict=strict, average=average)
    assert figure.value == pytest.approx(value)
    assert figure.n == 3  # the problematic image is in no denominator
    assert figure.low <= figure.value <= figure.high
    assert accuracy(np.array(PREDICTED) == TOY.labels).value == 0.25


def test_a_prediction_in_no_set_is_unreviewed():
    assert TOY.is_unreviewed([9, 9, 9, 9]).tolist() == [True, True, False, True]
    assert TOY.is_unreviewed([3, 5, 9, 2]).tolist() == [False] * 4


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("seed", range(3))
def test_what_changes_it(seed, average):
    predicted, parts = random_case(seed)
    original, correct, unclear, _, problematic = parts
    lenient = multi_label_accuracy(predicted, MultiLabels(*parts), average=average)
    assert lenient.value >= multi_label_accuracy(predicted, MultiLabels(*parts), strict=True, average=average).value
    for wider in ((original, [{*c, 1} for c in correct], unclear), (original, correct, [{*u, 1} for u in unclear])):
        grown = MultiLabels(*wider, problematic=problematic)
        assert multi_label_accuracy(predicted, grown, average=average).value >= lenient.value
    order = np.random.default_rng(seed).permutation(40)
    shuffled = MultiLabels(
        original[order], [correct[i] for i in order], [unclear[i] for i in order], problematic=problematic[order]
    )
    again = multi_label_accuracy(predicted[order], shuffled, average=average)
    assert (again.value, again.low, again.n) == pytest.approx((lenient.value, lenient.low, lenient.n))
    assert multi_label_accuracy([min(c) for c in correct], MultiLabels(*parts), average=average).value == 1


def test_of_single_labels_in_balanced_classes_it_is_top_1():
    predicted = np.random.default_rng(0).integers(0, 4, 80)
    original = np.arange(80) % 4
    annotations = MultiLabels(original, [{int(k)} for k in original])
    one, top = multi_label_accuracy(predicted, annotations), accuracy(predicted == original)
    assert (one.value, one.low, one.high, one.n) == pytest.approx((top.value, top.low, top.high, top.n))


def test_macro_weighs_classes_and_has_the_wider_interval():
    original = np.array([0] * 30 + [1] * 2)
    annotations = MultiLabels(original, [{int(k)} for k in original])
    predicted = np.where(np.arange(32) < 15, 0, 1)  # half of class 0, all of class 1
    macro, micro = (multi_label_accuracy(predicted, annotations, average=a) for a in ("macro", "micro"))
    assert (macro.value, micro.value) == (0.75, pytest.approx(17 / 32))
    assert macro.interval.endswith("effective n 8")  # 4 / (1/30 + 1/2) = 7.5
    assert macro.high - macro.low > micro.high - micro.low


def test_what_cannot_be_measured_is_told():
    for message, call in (
        ("original has 2 images, but unclear 1", lambda: MultiLabels([0, 1], [{0}, {1}], [{1}])),
        ("3 predictions for 4 annotated", lambda: multi_label_accuracy([0, 0, 0], TOY)),
        ("class 2 has no image", lambda: multi_label_accuracy(PREDICTED, TOY, classes=3)),
        ("label 1, which is none of 1 classes", lambda: multi_label_accuracy(PREDICTED, TOY, classes=1)),
        ("all 1 images are problematic", lambda: multi_label_accuracy([0], MultiLabels([0], [{0}], problematic=[1]))),
    ):
        with pytest.raises(ParameterError, match=message):
            call()
    left = MultiLabels([0, 1], [{0}, {1}], problematic=[0, 1])
    with pytest.raises(ParameterError, match="class 1 has no image that is not problematic"):
        multi_label_accuracy([0, 1], left)
    assert multi_label_accuracy([0, 1], left, average="micro").value == 1

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, precision_recall_curve

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.detection_parity import padded_pr_area, tnr_at_nearest_tpr, trapezoid_pr_area

NORMAL = -np.array([0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.55, 0.40, 0.35, 0.20])
ABNORMAL = -np.array([0.75, 0.65, 0.50, 0.30, 0.10])
SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=30)


def test_the_worked_example():
    assert trapezoid_pr_area(NORMAL, ABNORMAL, positive="normal") == pytest.approx(0.846827, abs=5e-7)
    assert trapezoid_pr_area(NORMAL, ABNORMAL) == pytest.approx(0.574066, abs=5e-7)
    assert padded_pr_area(NORMAL, ABNORMAL, positive="normal") == pytest.approx(0.796827, abs=5e-7)
    assert padded_pr_area(NORMAL, ABNORMAL, positive="abnormal") == pytest.approx(0.474066, abs=5e-7)
    assert tnr_at_nearest_tpr(NORMAL, ABNORMAL) == pytest.approx(0.2)  # at 9 of 10 accepted, not at 10 of 10


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_the_trapezoid_area_is_sklearn_s(normal, abnormal):
    labels, scores = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))], np.r_[normal, abnormal]
    precision, recall, _ = precision_recall_curve(labels, scores)
    assert trapezoid_pr_area(normal, abnormal) == pytest.approx(auc(recall, precision))
    precision, recall, _ = precision_recall_curve(1 - labels, -scores)
    assert trapezoid_pr_area(normal, abnormal, positive="normal") == pytest.approx(auc(recall, precision))


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_the_padding_costs_half_the_first_recall_step(normal, abnormal):
    first = np.mean(np.array(abnormal) >= max(normal + abnormal))
    # from (0, 0) instead of (0, 1) to the first point; nothing where that has recall 0
    assert padded_pr_area(normal, abnormal) == pytest.approx(trapezoid_pr_area(normal, abnormal) - first / 2)


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_swapped_groups_and_negated_scores_swap_the_areas(normal, abnormal):
    x, y = np.array(normal), np.array(abnormal)
    for area in (trapezoid_pr_area, padded_pr_area):
        assert area(-y, -x, positive="normal") == pytest.approx(area(x, y, positive="abnormal"))


def test_the_nearest_share_by_hand():
    # accepted 1/4, 2/4, 3/4, 4/4 of the normal at 1, 2, 3, 5; 0.8 is nearest to 3/4: 4 is still above, 3.5 accepted too
    assert tnr_at_nearest_tpr([1, 2, 3, 5], [3.5, 4, 6], at=0.8) == pytest.approx(1 / 3)
    # 7/8 as near to 6/8 as to 8/8 (ties at 7 and 8): the lower one
    assert tnr_at_nearest_tpr([1, 2, 3, 4, 5, 6, 8, 8], [7, 8, 9, 9], at=0.875) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trapezoid_pr_area([1], [2], positive="out"), "positive 'out'"),
        (lambda: padded_pr_area([], [2]), "normal is empty"),
        (lambda: tnr_at_nearest_tpr([1], [np.nan]), "missing"),
        (lambda: tnr_at_nearest_tpr([1], [2], at=1.5), "at must lie"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()

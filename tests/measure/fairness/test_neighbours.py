"""The share of the nearest images that have the query's attribute."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.group_rates import group_rates, mean_by_subject
from unshaken.measure.fairness.neighbours import neighbour_agreement, precision_at

QUERIES = ["F", "M", "F", "M"]
NEAREST = [["F", "M", "F"], ["F", "M", "M"], ["F", "F", "F"], ["F", "F", "F"]]
GROUPS = ["light", "light", "dark", "dark"]


def test_every_depth_up_to_the_last():
    assert precision_at(QUERIES, NEAREST, 1).tolist() == [1, 0, 1, 0]
    assert precision_at(QUERIES, NEAREST, 3) == pytest.approx([2 / 3, 2 / 3, 1, 0])
    assert list(neighbour_agreement(QUERIES, NEAREST, GROUPS, depths=(0, 1, 3, 4), resamples=10)) == [1, 3]


def test_options_reach_both_figures():
    options = {"subjects": ["a", "a", "b", "c"], "level": 0.5, "resamples": 20, "seed": 3}
    (found,) = neighbour_agreement(QUERIES, NEAREST, GROUPS, depths=(3,), least=2, **options).values()
    values = precision_at(QUERIES, NEAREST, 3)
    assert found == (mean_by_subject(values, **options), group_rates(values, GROUPS, least=2, **options))
    assert found[1].small == ("light",)


@pytest.mark.parametrize(
    ("queries", "nearest", "k", "message"),
    [
        (QUERIES, NEAREST, 0, "k must lie in 1 to 3"),
        (QUERIES, NEAREST, 4, "k must lie in 1 to 3"),
        (QUERIES[:3], NEAREST, 1, r"neighbours must be \[Q, D\] for 3 queries"),
        ([], [[]], 1, r"neighbours must be \[Q, D\] for 0 queries"),
    ],
)
def test_what_does_not_fit_is_refused(queries, nearest, k, message):
    with pytest.raises(ParameterError, match=message):
        precision_at(queries, nearest, k)

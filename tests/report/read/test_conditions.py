from __future__ import annotations

import pytest

from unshaken.core.part import Condition
from unshaken.report.read.conditions import is_nearest, label_of, series_of


@pytest.mark.parametrize(
    ("condition", "series", "label"),
    [
        (Condition("fog-3", "fog", severity=3), "fog", "fog"),
        (Condition("fog+2-3", "fog", severity=3), "fog+2", "fog+2"),
        (Condition("pgd-linf-0.0313725", "pgd", eps=8 / 255, norm="linf"), "pgd-linf", "pgd"),
        (Condition("pgd+2-l2-0.5", "pgd", eps=0.5, norm="l2"), "pgd+2-l2", "pgd+2"),
        (Condition("fab+2-l1", "fab", norm="l1"), "fab+2-l1", "fab+2"),
        (Condition("custom", "custom"), "custom", "custom"),
    ],
)
def test_a_condition_belongs_to_its_line_of_the_plan(condition: Condition, series: str, label: str) -> None:
    assert (series_of(condition), label_of(condition)) == (series, label)


def test_a_norm_without_a_budget_means_nearest_examples() -> None:
    assert is_nearest(Condition("fab-linf", "fab", norm="linf"))
    assert not is_nearest(Condition("fab-linf-0", "fab", eps=0.0, norm="linf"))
    assert not is_nearest(Condition("spatial", "spatial"))

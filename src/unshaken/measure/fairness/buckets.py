"""Incomes and ages as the groups of the published indicators."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unshaken.core.errors import ParameterError

INCOMES = ("low", "medium", "high")
QUERY_AGES, DATABASE_AGES = (18, 30, 45, 70), (13, 30, 45)
"""First years of the next bucket, for people who ask and for those who are found."""


def income_bucket(income: float) -> str:
    """The bucket of a household's monthly income: `round(ln(income) / 3)` is 1, 2 or 3.

    Edges are `e^4.5 = 90.02` and `e^7.5 = 1808.04`; what lies below `e^1.5`, where the formula gives 0, is low, and
    what lies above `e^10.5` is high.

    Raises:
        ParameterError: the income is not a number above 0.

    >>> [income_bucket(income) for income in (4, 50, 500, 5000)]
    ['low', 'low', 'medium', 'high']
    """
    if not 0 < income < math.inf:
        raise ParameterError(f"income must be a number above 0, not {income}")
    return INCOMES[min(max(round(math.log(income) / 3), 1), 3) - 1]


def age_bucket(age: float, edges: Sequence[int] = QUERY_AGES) -> str:
    """The bucket of an age in years.

    Args:
        age: 0 or more.
        edges: the first year of each bucket but the first, rising.

    Raises:
        ParameterError: the age is not a number of 0 or more, or edges do not rise.

    >>> [age_bucket(age) for age in (17, 18, 44.5, 70)]
    ['<18', '18-29', '30-44', '70+']
    """
    if not 0 <= age < math.inf:
        raise ParameterError(f"age must be a number of years, 0 or more, not {age}")
    if list(edges) != sorted(set(edges)) or not edges:
        raise ParameterError(f"edges must rise, not {list(edges)}")
    place = sum(age >= edge for edge in edges)
    if place == 0:
        return f"<{edges[0]}"
    return f"{edges[-1]}+" if place == len(edges) else f"{edges[place - 1]}-{edges[place] - 1}"

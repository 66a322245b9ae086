"""Crossed batteries: `make test` runs a covering choice of the cases, and `make test-long` the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


def covering(
    names: str, rows: Sequence[Any], cases: Sequence[Sequence[Any]] | Callable[[Any], Sequence[Sequence[Any]]]
) -> pytest.MarkDecorator:
    """Parametrize a test by each row with each case, all but one of which are marked `long`.

    Of row number i that is case number i, modulo the number of cases: each row is tried, and each case too, unless
    there are fewer rows.

    Args:
        names: of the test's arguments, as for `pytest.mark.parametrize`: of a row's, then of a case's.
        rows: registered methods, or other values; a tuple has several.
        cases: further arguments; or what gives them for a row.
    """
    found = []
    for i, row in enumerate(rows):
        own = cases(row) if callable(cases) else cases
        for j, case in enumerate(own):
            values = (*(row if isinstance(row, tuple) else (row,)), *case)
            label = "-".join(str(getattr(value, "name", value)) for value in values)
            found.append(pytest.param(*values, id=label, marks=() if j == i % len(own) else pytest.mark.long))
    return pytest.mark.parametrize(names, found)

"""Crossed batteries: `make test` runs a covering choice of the cases, and `make test-long` the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from unshaken.core.registry import Method


def covering(
    names: str, methods: Sequence[Method], cases: Sequence[Sequence[Any]] | Callable[[Method], Sequence[Sequence[Any]]]
) -> pytest.MarkDecorator:
    """Parametrize a test by each method with each of its cases, all but one of which are marked `long`.

    Of method number i that is case number i, modulo the number of cases: each method is tried, and so is each case.

    Args:
        names: of the test's arguments, as for `pytest.mark.parametrize`; the first one is the method.
        methods: the registered methods.
        cases: further arguments; or what gives them for a method.
    """
    found = []
    for i, method in enumerate(methods):
        own = cases(method) if callable(cases) else cases
        for j, case in enumerate(own):
            marks = () if j == i % len(own) else pytest.mark.long
            found.append(pytest.param(method, *case, id="-".join(map(str, (method.name, *case))), marks=marks))
    return pytest.mark.parametrize(names, found)

"""Rows to choose by, and rows to judge by: within `choosing()` figures see the ones, elsewhere the others, never both.

A threshold, a weight or a method that is chosen on the very rows that it is judged on looks better than it is. Where a
row chooses, its figures therefore do not name the part of the rows that they take:

```python
    with choosing():
        threshold = best_threshold(roles.rows(scores, ~marked), roles.rows(scores, marked))
    missed = roles.rows(scores, marked) <= threshold
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags

_CHOOSING = ContextVar("choosing", default=False)


@contextmanager
def choosing() -> Iterator[None]:
    """Within it, rows to choose by are given, and asking for rows to judge by is an error."""
    token = _CHOOSING.set(True)
    try:
        yield
    finally:
        _CHOOSING.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """Which rows of a set serve to choose by; the others serve to judge by.

    Args:
        chosen_by: bool `[N]`.
    """

    chosen_by: Flags

    def rows(self, values: NDArray[Any], where: Flags | None = None) -> NDArray[Any]:
        """The values of the rows that may be used now.

        Args:
            values: `[N, ...]`.
            where: bool `[N]`: further rows to leave out are false in it; None for none.
        """
        own = self.chosen_by if _CHOOSING.get() else ~self.chosen_by
        return np.asarray(values[own if where is None else own & where])


def check_role(name: str, *, chooses: bool) -> None:
    """Refuse a set of rows that serves the other purpose.

    Args:
        name: of the set.
        chooses: whether it serves to choose by.

    Raises:
        ParameterError: it is read to judge by and serves to choose by, or the other way round.
    """
    if chooses != _CHOOSING.get():
        serves, asked = ("choose", "judge") if chooses else ("judge", "choose")
        raise ParameterError(f"the rows of {name!r} serve to {serves} by, not to {asked} by")

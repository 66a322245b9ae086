"""Rows to choose by, and rows to judge by: within `choosing()` figures see the ones, elsewhere the others, never both.

A threshold, a weight or a method that is chosen on the very rows that it is judged on looks better than it is. Where a
row chooses, its figures therefore do not name the part of the rows that they take:

```python
    with choosing():
        threshold = best_threshold(roles.rows(scores, ~marked), roles.rows(scores, marked))
    missed = roles.rows(scores, marked) <= threshold
```

There are three ways to say which rows choose: `Paper.chooses` names whole conditions, or tables (a validation set);
`Rows.halved` lets half of the images choose, in all conditions alike; `Roles` is a mask over the rows of one set.
`all_roles_used`, in which the frame computes figures, refuses those that were judged where nothing had been chosen,
which is what figures look like whose `choosing()` was forgotten, and those that chose and were never judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags

_CHOOSING = ContextVar("choosing", default=False)
_USED: ContextVar[list[Use] | None] = ContextVar("used", default=None)


@contextmanager
def choosing() -> Iterator[None]:
    """Within it, rows to choose by are given, and asking for rows to judge by is an error."""
    token = _CHOOSING.set(True)
    try:
        yield
    finally:
        _CHOOSING.reset(token)


def is_choosing() -> bool:
    """Whether something is being chosen."""
    return _CHOOSING.get()


@contextmanager
def all_roles_used() -> Iterator[None]:
    """Compute figures, and refuse them if a set that is divided served one purpose alone.

    Raises:
        ParameterError: a set was judged by and never chosen by, or the other way round.
    """
    used: list[Use] = []
    token = _USED.set(used)
    try:
        yield
    finally:
        _USED.reset(token)
    for use in used:
        if not (use.chose and use.judged):
            done, missing = ("choose", "judge") if use.chose else ("judge", "choose")
            raise ParameterError(
                f"the rows of {use.name!r} are divided, but served to {done} by alone, never to {missing} by: put what "
                "is chosen within choosing(), what is judged outside, and what needs no choice through held_out()"
            )


@dataclass(slots=True, eq=False)
class Use:
    """Use of a divided set of rows.

    Args:
        name: of the set, for messages.
        chose: whether rows to choose by were read.
        judged: whether rows to judge by were read.
        divided: whether rows were read that depend on the time, so that both must happen.
    """

    name: str
    chose: bool = False
    judged: bool = False
    divided: bool = False

    def note(self) -> bool:
        """Note that rows are read now; whether these are the ones to choose by."""
        used = _USED.get()
        if used is not None and not self.divided:
            used.append(self)
        self.divided = True
        now = _CHOOSING.get()
        self.chose, self.judged = self.chose or now, self.judged or not now
        return now


@dataclass(slots=True, eq=False)
class Roles:
    """Which rows of a set serve to choose by; the others serve to judge by.

    Args:
        chosen_by: bool `[N]`.
        name: of the set, for messages.
    """

    chosen_by: Flags
    name: str = "a set"
    _use: Use = field(init=False)

    def __post_init__(self) -> None:
        self._use = Use(self.name)

    def first(self, n: int) -> Roles:
        """The roles of the first n rows; what they serve for counts as served by the whole set."""
        found = Roles(self.chosen_by[:n], self.name)
        found._use = self._use
        return found

    def rows(self, values: NDArray[Any], where: Flags | None = None) -> NDArray[Any]:
        """The values of the rows that may be used now.

        Args:
            values: `[N, ...]`.
            where: bool `[N]`: further rows to leave out are false in it; None for none.
        """
        return self._part(values, where, chosen_by=self._use.note())

    def held_out(self, values: NDArray[Any], where: Flags | None = None) -> NDArray[Any]:
        """The values of the rows to judge by, for what needs no choice; arguments as for `rows`.

        Raises:
            ParameterError: something is being chosen.
        """
        check_role(self.name, chooses=False)
        self._use.judged = True
        return self._part(values, where, chosen_by=False)

    def _part(self, values: NDArray[Any], where: Flags | None, *, chosen_by: bool) -> NDArray[Any]:
        own = self.chosen_by if chosen_by else ~self.chosen_by
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

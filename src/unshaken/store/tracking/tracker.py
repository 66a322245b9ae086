"""`RunTracker`: logs one run directory to a service, and keeps in it which run it is there."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir
from unshaken.store.tracking.sink import Sink, reason

NAME = "tracking.json"
"""Where a run directory keeps, for each address, which run it is there and how many epochs were logged."""
PATIENCE = 10
"""After a failure nothing is tried for this many times as long as the failure took."""


class RunTracker:
    """Logs a run. A service that fails later does not stop the run.

    Args:
        sink: the service; None for none.
        run: the run directory.
    """

    def __init__(self, sink: Sink | None, run: RunDir) -> None:
        self.sink, self.run = sink, run
        self.uri = "" if sink is None else sink.address
        self.place: dict[str, Any] = {"run": "", "epochs": 0}
        self.again = 0.0

    def begin(self, name: str, parameters: Mapping[str, str]) -> None:
        """Start a run there, or continue the one of this directory.

        Raises:
            RunError: the service does not answer, or has lost the run.
        """
        if self.sink is None:
            return
        self.place |= self._kept().get(self.uri, {})
        try:
            self.place["run"] = self.sink.begin(name, self.place["run"], parameters)
        except self.sink.failures as error:
            lost = f"; delete {NAME} in {self.run} to begin another there" if self.place["run"] else ""
            raise RunError(f"track {self.uri!r}: {reason(error)}{lost}") from None
        self.keep()

    def consequence(self) -> str:
        """The consequence of a failure, in the words of its warning."""
        return "the run directory has everything; the same command with --resume logs it again"

    def attempt(self, act: Callable[[Sink], None]) -> None:
        """Do it; where the service fails, warn, and leave it alone for a while."""
        if self.sink is None:
            return
        failures: tuple[type[Exception], ...] = (*self.sink.failures, RunError)
        start = time.monotonic()
        try:
            act(self.sink)
        except failures as error:
            now = time.monotonic()
            self.again = now + PATIENCE * (now - start)
            why = str(error) if isinstance(error, RunError) else f"track {self.uri!r}: {reason(error)}"
            warnings.warn(f"{why}; {self.consequence()}", RuntimeWarning, stacklevel=3)

    def close(self, status: str) -> None:
        """End the run there.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
        """
        self.attempt(lambda sink: sink.close(status))

    def keep(self) -> None:
        """Write which run it is there."""
        self.run.write_json({**self._kept(), self.uri: self.place}, NAME)

    def _kept(self) -> dict[str, Any]:
        found: Any = self.run.read_json(NAME) if self.run.exists(NAME) else {}
        shape = {"run": str, "epochs": int}
        places = [p for k, p in found.items() if k != "schema"] if isinstance(found, dict) else [None]
        if not all(isinstance(p, dict) and all(isinstance(p.get(k), t) for k, t in shape.items()) for p in places):
            raise RunError(f"{self.run}: {NAME} is damaged (it does not say run and epochs of a place); delete it")
        return dict(found)


_NAMED_BY = ("condition", "candidate_name", "id", "label", "name", "detector", "method")
"""Keys of an entry of a list that name it, the most exact first."""
_ENDS = {"": "value", "_low": "low", "_high": "high"}


def metrics_of(data: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of a JSON document: its value, and the ends of its interval as `_low` and `_high`.

    Args:
        data: a document with figures, `{"value", "low", "high", "n"}`, anywhere in it, such as `summary.json`.

    Returns:
        Name to finite number; a name is the path to the figure, an entry of a list is named by its condition.

    >>> metrics_of({"clean": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}})
    {'clean': 0.9, 'clean_low': 0.8, 'clean_high': 0.95}
    """
    found: dict[str, float] = {}
    for path, figure in _figures(data, ()):
        name = _plain(".".join(path))
        for tail, end in _ENDS.items():
            value = figure.get(end)
            if isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name + tail, float(value))
    return found


def _figures(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= value.keys():
            yield path, value
            return
        for key, inner in value.items():
            yield from _figures(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            own = _own_name(inner) if isinstance(inner, Mapping) else None
            yield from _figures(inner, (*path, own or str(number)))


def _own_name(entry: Mapping[str, Any]) -> str | None:
    return next((str(entry[k]) for k in _NAMED_BY if isinstance(entry.get(k), str)), None)


def _plain(name: str) -> str:
    """A name of the characters that every service takes."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)[:200]

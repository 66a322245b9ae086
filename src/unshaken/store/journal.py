"""`Journal`: what is finished of a shard that is not, so that a stop costs seconds and not the shard."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir

FOLDER = "journal"

_STEP, _FILE = re.compile(r".+-[0-9]{5,}"), re.compile(r"[0-9a-f]{32}\.json")

Record = dict[str, Any]
"""A finished sample as JSON."""


class Journal:
    """Finished samples of one step of one shard, kept until the shard's rows are written.

    Args:
        run: the run directory.
        label: the step.
        shard: its number.
        alive: called at every write, to renew a lock.
        every: seconds between writes: what a stop can cost.
    """

    def __init__(
        self, run: RunDir, label: str, shard: int, *, alive: Callable[[], None] = lambda: None, every: float = 1.0
    ) -> None:
        self.run, self.name, self.alive, self.every = run, f"{label}-{shard:05d}", alive, every
        self._pending: dict[str, Record] = {}
        self._written = time.monotonic()

    def found(self) -> dict[str, Record]:
        """Sample id to what was kept of it.

        Raises:
            RunError: a file is damaged, named.
        """
        records: dict[str, Record] = {}
        for file in self.run.names(FOLDER, self.name, suffix=".json"):
            found = self.run.read_json(FOLDER, self.name, file)
            if not isinstance(found, dict) or not all(isinstance(r, dict) for r in found.values()):
                raise RunError(f"{self.run}: journal/{self.name}/{file} is damaged (it holds no records); delete it")
            records |= found
        return records

    def keep(self, sample: str, record: Record) -> None:
        """A sample is finished."""
        self._pending[sample] = record
        if time.monotonic() - self._written >= self.every:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting, whole or not at all."""
        if self._pending:
            data = json.dumps(self._pending, allow_nan=False).encode()
            self.run.write(data, FOLDER, self.name, f"{uuid.uuid4().hex}.json")
            self._pending = {}
        self._written = time.monotonic()
        self.alive()

    def clear(self) -> None:
        """Delete it all: the rows are written."""
        self._pending = {}
        for file in self.run.names(FOLDER, self.name):
            self.run.remove(FOLDER, self.name, file)


def clear_journals(run: RunDir) -> None:
    """Delete journals that a run of which nothing else is left has kept; other files stay.

    Args:
        run: a directory in which a run is about to begin.
    """
    for step in filter(_STEP.fullmatch, run.names(FOLDER)):
        for file in filter(_FILE.fullmatch, run.names(FOLDER, step)):
            run.remove(FOLDER, step, file)

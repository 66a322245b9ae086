"""`PartialFigures`: the accuracy of a run at work under each condition, from the shards that are finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow.compute as pc

from unshaken.core.part import CLEAN
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.store.config import read_config
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir

AT_ONCE = 0.2
"""Seconds that one call spends on reading shards; the next call goes on."""


@dataclass(frozen=True, slots=True)
class PartialFigure:
    """The accuracy under a condition, of the samples that are finished.

    Args:
        condition: its id.
        accuracy: with its Clopper-Pearson interval.
        unchanged: accuracy of the unchanged images of the same shards; None where they are not finished.
    """

    condition: str
    accuracy: Figure
    unchanged: float | None


class PartialFigures:
    """Counts of right samples of a run, of which each finished shard is read once.

    Args:
        out: run directory.
    """

    def __init__(self, out: str) -> None:
        self._run = RunDir(out)
        self._counts: dict[tuple[str, int], tuple[int, int]] = {}
        self._lock = threading.Lock()
        self.unread = 0

    def read(self) -> list[PartialFigure]:
        """The figures in the order of the plan, of the shards read so far; `unread` says how many are left to read.

        Conditions without labelled samples are left out.

        Raises:
            RunError: the configuration or a file of rows is damaged.
        """
        with self._lock:
            if not self._run.exists("run.json"):
                return []
            config, end = read_config(self._run), time.monotonic() + AT_ONCE
            waiting = sorted(self._run.finished() - self._counts.keys(), key=lambda found: (found[1], found[0]))
            self.unread = len(waiting)
            for condition, shard in waiting:
                self._counts[condition, shard] = self._count(condition, shard)
                self.unread -= 1
                if time.monotonic() > end:
                    break
            planned = (CLEAN.id, *(c for step in config.steps for c in step.conditions))
            return [figure for c in dict.fromkeys(planned) if (figure := self._figure(c)) is not None]

    def _count(self, condition: str, shard: int) -> tuple[int, int]:
        """Right samples and labelled samples of a shard."""
        file = f"{condition}-{shard:05d}.parquet"
        data = self._run.read("rows", "outcomes", file)
        rows = parse_rows(data, "outcomes", file, str(self._run), ["correct"], run=self._run.identity)
        return int(pc.sum(rows["correct"]).as_py() or 0), len(rows) - rows["correct"].null_count

    def _figure(self, condition: str) -> PartialFigure | None:
        shards = [shard for name, shard in self._counts if name == condition]
        right, n = self._sum(condition, shards)
        clean, n_clean = self._sum(CLEAN.id, shards) if condition != CLEAN.id else (0, 0)
        return PartialFigure(condition, share(right, n), clean / n_clean if n_clean else None) if n else None

    def _sum(self, condition: str, shards: Iterable[int]) -> tuple[int, int]:
        counts = [self._counts.get((condition, shard), (0, 0)) for shard in shards]
        return sum(right for right, _ in counts), sum(n for _, n in counts)

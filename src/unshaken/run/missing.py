"""`Missing`: which samples and conditions of a run are in none of several directories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import override

from unshaken.core.numbers import shorten
from unshaken.core.part import CLEAN
from unshaken.store.config import RunConfig
from unshaken.store.split import parse_part

SHOWN = 3
"""Samples, shards and steps named."""


class Missing:
    """The samples and steps that no directory has; true where there are any, and a sentence as a string.

    Args:
        config: of the run.
        shards: step's label to the shards that lack it; `clean` for the samples themselves.
        parts: `K/N` of each directory, None for one that is no part.
    """

    def __init__(self, config: RunConfig, shards: Mapping[str, Sequence[int]], parts: Sequence[str | None]) -> None:
        self.config, self.parts = config, parts
        self.shards = {label: list(found) for label, found in shards.items() if found}

    def __bool__(self) -> bool:
        return bool(self.shards)

    @override
    def __str__(self) -> str:
        absent = self.shards.get(CLEAN.id, [])
        found = [f"{self._samples(absent)} are in none of the runs"] if absent else []
        lacking: dict[tuple[int, ...], list[str]] = {}
        everywhere = set(absent)
        for label, shards in self.shards.items():
            if rest := tuple(shard for shard in shards if shard not in everywhere):
                lacking.setdefault(rest, []).append(label)
        found += [f"{_named(names)} of {self._samples(list(rest))} is in none" for rest, names in lacking.items()]
        if names := self.absent_parts():
            found.append(f"part {_named(names)} is not among them")
        return ", ".join(found)

    def absent_parts(self) -> list[str]:
        """The parts that are not among the directories; none where these are not all parts of one N."""
        read = [parse_part(part) for part in self.parts if part is not None]
        counts = {count for _, count in read}
        if len(read) < len(self.parts) or len(counts) != 1:
            return []
        count = counts.pop()
        return [f"{number}/{count}" for number in range(1, count + 1) if (number, count) not in read]

    def _samples(self, shards: Sequence[int]) -> str:
        """A number of samples, and the first of them."""
        total, ids = 0, list[str]()
        for shard in shards:
            own = self.config.shard_ids(shard)
            total, ids = total + len(own), ids + own[: SHOWN - len(ids)]
        return f"{total:,} of {len(self.config.ids):,} samples ({_named([shorten(i) for i in ids], total)})"


def _named(names: Sequence[str], count: int | None = None) -> str:
    shown: Iterable[str] = names[:SHOWN]
    more = (len(names) if count is None else count) - SHOWN
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")

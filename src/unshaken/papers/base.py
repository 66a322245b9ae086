"""The former base of papers, for rows that have not moved to `unshaken.papers.frame` yet."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from unshaken.core.errors import RunError
from unshaken.core.registry import Parameters
from unshaken.papers.frame.paper import Check
from unshaken.papers.frame.result import PaperResult
from unshaken.run.config import provenance
from unshaken.run.rows import Part, table_of
from unshaken.run.store import RunDir

NAME = "paper.json"
__all__ = ["Bench", "Check", "Paper", "PaperResult"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What an experiment is given.

    Args:
        seed: the run seed.
        run: the run directory that its rows go to.
        data: SPEC.
        model: SPEC.
        own: whether data or model are the user's own, in the place of the paper's.
        download: whether sources may be fetched.
    """

    seed: int
    run: RunDir
    data: str
    model: str
    own: bool = False
    download: bool = False

    def pin(self, **key: Any) -> None:
        """Say what decides the rows; a directory that holds rows decided by something else is refused.

        Raises:
            RunError: the differences, named.
        """
        wanted = json.loads(json.dumps({"seed": self.seed, **key}))
        if not self.run.exists(NAME):
            self.run.write_json({"key": wanted, "provenance": provenance()}, NAME)
            return
        there = self.run.read_json(NAME)["key"]
        if there != wanted:
            names = ", ".join(k for k in {**there, **wanted} if there.get(k) != wanted.get(k))
            raise RunError(f"{self.run}: holds rows of another experiment ({names} differ); choose another --out")

    def keep(self, parts: Sequence[Part], shard: int) -> None:
        """Write rows; the last part says that all of them are there."""
        for part in parts:
            self.run.write_rows(table_of(part), part.table, part.condition.id, shard)


class Paper(Parameters):
    """A claim with its experiment. A subclass states, runs and judges; `run_paper` does all else."""

    room: ClassVar[str] = "papers"
    title: ClassVar[str]
    claim: ClassVar[str]
    rule: ClassVar[str]
    expected: ClassVar[Mapping[str, Any]]
    data: ClassVar[str]
    model: ClassVar[str]

    @abstractmethod
    def run(self, bench: Bench) -> dict[str, Any]:
        """Put rows into the bench's run directory, and compute the figures from these rows alone.

        Returns:
            Names to figures (`Figure.to_json()`) or plain values, nested as one likes.

        Raises:
            UnshakenError: data or model is absent; the message says how to get it.
        """

    @abstractmethod
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """The parts of the rule, applied to the figures."""

    def remark(self, measured: Mapping[str, Any]) -> str:
        """What else a reader must know."""
        return ""

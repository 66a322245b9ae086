"""`Paper`: a published claim, the small experiment that tries it, and the rule that judges it."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.errors import RunError
from unshaken.core.registry import Parameters
from unshaken.run.config import provenance
from unshaken.run.rows import Part, table_of
from unshaken.run.store import RunDir

NAME = "paper.json"


class PaperResult(BaseModel):
    """What became of a claim.

    Args:
        slug: the paper's name here.
        title: of the publication.
        claim: what it says, in a sentence.
        measured: dotted name to a figure (`value`, `low`, `high`, `n`, `interval`) or a plain number.
        expected: published or derived figures under the same names, and `rule`, that of the verdict.
        reproduced: whether every part of the rule held.
        data: SPEC.
        model: SPEC.
        seed: the run seed.
        seconds: wall time of the run.
        note: what a reader must know; which part of the rule failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str
    claim: str
    measured: dict[str, Any]
    expected: dict[str, Any]
    reproduced: bool
    data: str
    model: str
    seed: int
    seconds: float = Field(ge=0)
    note: str

    def to_json(self) -> dict[str, Any]:
        """As printed by the command line."""
        return self.model_dump(mode="json")

    def save(self, folder: str | os.PathLike[str] = "docs/papers") -> Path:
        """Keep the result as `<folder>/<slug>.json`, whole or not at all."""
        RunDir(folder).write_json(self.to_json(), f"{self.slug}.json")
        return Path(folder) / f"{self.slug}.json"


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a rule.

    Args:
        words: what must hold, with the numbers met.
        holds: whether it does.
    """

    words: str
    holds: bool


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
        found = self.run.read_json(NAME)
        there = found.get("key") if isinstance(found, dict) else None
        if not isinstance(there, dict):
            raise RunError(f"{self.run}: {NAME} is damaged (it has no key); choose another --out")
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

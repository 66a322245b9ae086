"""`gates.json`: the gates asked of a run and what became of each, kept in its directory."""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unshaken.core.documents import parse_json, validate
from unshaken.core.errors import RunError, UnshakenError
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

NAME = "gates.json"
JUNIT = "junit.xml"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of one gate: whether it held, and at which figure.

    Args:
        text: the gate as written.
        held: whether it held; None where it is not decided, as of a run that has not finished.
        value: the figure met; for `no-regression` the number of conditions that became worse; NaN where there is none.
        detail: one line for a person.
        added: the user did not ask it; see `check_gates`.
    """

    text: str
    held: bool | None
    value: float
    detail: str
    added: bool = False

    @property
    def state(self) -> str:
        """`held`, `failed` or `undecided`."""
        return "undecided" if self.held is None else "held" if self.held else "failed"

    def to_json(self) -> dict[str, Any]:
        """Give the result as `gates.json` and `summary.json` hold it."""
        value = self.value if math.isfinite(self.value) else None
        return {"gate": self.text, "state": self.state, "value": value, "detail": self.detail, "added": self.added}


def verdict_of(states: Collection[str]) -> str:
    """The verdict of gates by their states: `failed` before `undecided` before `held`; `none` without gates.

    >>> verdict_of(["held", "undecided"])
    'undecided'
    """
    return next((state for state in ("failed", "undecided", "held") if state in states), "none")


class Baseline(BaseModel):
    """The run that another one was compared with.

    Args:
        place: its folder as a whole path, or its address without a password.
        identity: of its configuration; see `RunConfig.identity`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    identity: str

    @classmethod
    def of(cls, run: RunDir) -> Baseline:
        """The record of a baseline.

        Raises:
            RunError: it is no run.
        """
        return cls(place=os.path.abspath(run.root) if run.local else str(run), identity=read_config(run).identity)

    def open(self) -> RunDir | None:
        """The run, where it still lies there and is the same one."""
        try:
            run = RunDir(self.place)
            return run if read_config(run).identity == self.identity else None
        except UnshakenError:
            return None


class _Gate(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gate: str = Field(min_length=1)
    state: Literal["held", "failed", "undecided"]
    value: float | None
    detail: str
    added: bool


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    verdict: Literal["held", "failed", "undecided", "none"]
    baseline: Baseline | None
    gates: list[_Gate]

    @model_validator(mode="after")
    def _agrees(self) -> _File:
        if (right := verdict_of([gate.state for gate in self.gates])) != self.verdict:
            raise ValueError(f"its verdict is {self.verdict!r} and its gates give {right!r}")
        return self


@dataclass(frozen=True, slots=True)
class KeptGates:
    """The gates of a run.

    Args:
        results: what became of each.
        baseline: the run that it was compared with.
    """

    results: tuple[GateResult, ...] = ()
    baseline: Baseline | None = None

    @property
    def verdict(self) -> str:
        """`failed` where a gate failed, else `undecided` where one is, else `held`; `none` without gates."""
        return verdict_of([r.state for r in self.results])

    @property
    def asked(self) -> tuple[str, ...]:
        """The gates that the user asked."""
        return tuple(r.text for r in self.results if not r.added)

    def write(self, run: RunDir, name: str) -> None:
        """Write `gates.json`, and with gates `junit.xml`.

        Args:
            run: whose gates they are.
            name: of the model, for `junit.xml`.
        """
        baseline = self.baseline and self.baseline.model_dump()
        gates = [r.to_json() for r in self.results]
        run.write_json({"verdict": self.verdict, "baseline": baseline, "gates": gates}, NAME)
        if self.results:
            run.write(junit(self.results, name=name), JUNIT)


def read_gates(run: RunDir) -> KeptGates:
    """The gates of a run; none where it has no `gates.json`.

    Raises:
        RunError: the file is damaged.
    """
    if not run.exists(NAME):
        return KeptGates()
    where, advice = f"{run}: {NAME}", "ask the gates again, by the command of the run with --resume and --gate"
    found = validate(_File, parse_json(run.read(NAME), where, RunError, advice), where, RunError, advice)
    results = list[GateResult]()
    for one in found.gates:
        held = {"held": True, "failed": False}.get(one.state)
        value = math.nan if one.value is None else one.value
        results.append(GateResult(one.gate, held, value, one.detail, added=one.added))
    return KeptGates(tuple(results), found.baseline)


def begin_gates(run: RunDir, name: str, gates: Sequence[str], baseline: RunDir | None, *, first: bool) -> None:
    """Keep the gates of a run that begins, undecided: one that is killed before its report still knows them.

    Args:
        run: its directory.
        name: of the model.
        gates: those that are asked; empty for those of before.
        baseline: to compare with; None for that of before.
        first: the run is new, so what the directory holds of gates is of none.
    """
    if not gates and baseline is None:
        for file in (NAME, JUNIT) if first else ():
            run.remove(file)
        return
    texts = gates or (() if first else read_gates(run).asked)
    results = tuple(GateResult(" ".join(t.split()), None, math.nan, "the run has not finished") for t in texts)
    KeptGates(results, None if baseline is None else Baseline.of(baseline)).write(run, name)


def describe(gates: Sequence[GateResult]) -> list[str]:
    """A line for each gate that did not hold."""
    words = {"failed": "gate FAILED", "undecided": "gate not decided"}
    return [f"{words[g.state]}: {g.text}: {g.detail}" for g in gates if g.state in words]


# One test case a gate, as continuous integration reads it.


def junit(results: Sequence[GateResult], *, name: str = "unshaken") -> bytes:
    """Write results of gates as JUnit XML.

    Args:
        results: of the gates.
        name: of the suite.

    Returns:
        UTF-8; a gate that is not decided is an error; characters that XML does not allow are replaced.
    """
    failed, open_ = (sum(r.state == state for r in results) for state in ("failed", "undecided"))
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": str(open_), "skipped": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": _clean(name), **counts})
    for result in results:
        case = ET.SubElement(suite, "testcase", {"classname": "unshaken.gates", "name": _clean(result.text)})
        if result.held:
            ET.SubElement(case, "system-out").text = _clean(result.detail)
        else:
            kind = "error" if result.held is None else "failure"
            failure = ET.SubElement(case, kind, {"type": "gate", "message": _clean(result.detail)})
            failure.text = _clean(f"{result.text}\n{result.detail}")
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)

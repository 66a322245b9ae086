"""`read_board`: finished runs of several models as a table of models by protocols, with ranks, pairs and cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.numbers import show_budget
from unshaken.core.texts import csv_text
from unshaken.report.gates.kept import KeptGates
from unshaken.report.matrix import Matrix, MatrixCell, MatrixColumn, MatrixRecord, is_finished, rank_columns
from unshaken.report.reported import Reported
from unshaken.report.summary import NAME as SUMMARY
from unshaken.store.config import RunConfig, read_config
from unshaken.store.protocol import Protocol, protocol_of
from unshaken.store.run_dir import RunDir

NAME = "board.json"
ABSENT = "absent"
"""The state of a model under a protocol that it has no run of."""


class Source(NamedTuple):
    """A run of a board.

    Args:
        name: where it was found: a folder, or the file of a submission.
        run: its directory.
        submitted: whether it comes from a submission.
    """

    name: str
    run: RunDir
    submitted: bool = False


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Figure(_Lenient):
    value: float
    low: float
    high: float
    n: int


class _Condition(_Lenient):
    group: str = ""
    map: _Figure | None = None
    miou: _Figure | None = None
    accuracy: _Figure | None = None
    consistency: _Figure | None = None


class _Aggregates(_Lenient):
    worst_case: _Figure | None = None
    worst_natural: _Figure | None = None
    worst_attack: _Figure | None = None


class _Cost(_Lenient):
    forwards: int = Field(ge=0)
    backwards: int = Field(ge=0)
    seconds: float = Field(ge=0)


class _Summary(_Lenient):
    """What a board shows of a run's `summary.json`, which may come from a stranger."""

    clean: _Figure | None
    aggregates: _Aggregates
    conditions: list[_Condition]
    cost: _Cost
    bad_samples: list[Any]
    flags: list[Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that has a place in the table.

    Args:
        source: where it comes from.
        config: of the run.
        protocol: its protocol.
        cell: of the table.
    """

    source: Source
    config: RunConfig
    protocol: Protocol
    cell: MatrixCell


@dataclass(frozen=True, slots=True)
class Board:
    """Models by protocols.

    Args:
        matrix: the table: a column a protocol, and a cell for each model in it, `ABSENT` where it has no run.
        entries: the runs, in the order of models and columns.
        left_out: name of each source that has no place in the table, with the reason.
        pages: model to the address of its page, of those that have one.
        reported: figures of other leaderboards' files, in no column and without ranks.
    """

    matrix: Matrix
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...]
    pages: Mapping[str, str] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()

    def linked(self, runs: Mapping[str, str], pages: Mapping[str, str]) -> Board:
        """The same whose cells lead to pages.

        Args:
            runs: path of a run to the address of its page, of those that have one.
            pages: model to the address of its page, of those that have one.
        """
        entries = tuple(
            replace(entry, cell=replace(entry.cell, page=runs.get(entry.source.run.path, ""))) for entry in self.entries
        )
        at = {(entry.cell.model, entry.cell.data): entry.cell for entry in entries}
        columns = tuple(
            replace(column, cells=tuple(at.get((cell.model, cell.data), cell) for cell in column.cells))
            for column in self.matrix.columns
        )
        return replace(self, matrix=replace(self.matrix, columns=columns), entries=entries, pages=pages)

    def of(self, column: MatrixColumn) -> list[Entry]:
        """The runs of a column."""
        return [entry for entry in self.entries if entry.cell.data == column.data]

    def table(self) -> list[dict[str, Any]]:
        """A row a run with figures, ranks and cost, as `board.csv` holds them; None where there is none."""
        rows = {(row["model"], row["data"]): row for row in self.matrix.table() if row["state"] != ABSENT}
        ahead = {column.data: self.front(column) for column in self.matrix.columns}
        found = list[dict[str, Any]]()
        for entry in self.entries:
            row = rows[entry.cell.model, entry.cell.data]
            for name in ("gates", "run"):
                del row[name]
            found.append({
                **row, "protocol": entry.protocol.digest, "parameters": entry.config.parameters,
                "front": entry.cell.model in ahead[entry.cell.data], "submitted": entry.source.submitted,
                "model_fingerprint": entry.config.model_fingerprint, "source": entry.source.name,
            })  # fmt: skip
        return found

    def front(self, column: MatrixColumn) -> set[str]:
        """The models of a column that no other equals in both figure and number of parameters and betters in one."""
        rated = [
            (entry.cell.model, figure["value"], entry.config.parameters)
            for entry in self.of(column)
            if (figure := entry.cell.figure(column.figure)) and entry.config.parameters
        ]
        return {
            name
            for name, value, size in rated
            if not any(v >= value and s <= size and (v > value or s < size) for _, v, s in rated)
        }

    def to_json(self) -> dict[str, Any]:
        """As `board.json` holds it: protocols, a row a run, and each column with its pairs."""
        protocols = {entry.protocol.digest: entry.protocol.fields for entry in self.entries}
        return {
            "schema": 1,
            "protocols": protocols,
            "entries": self.table(),
            "family": self.matrix.family,
            "columns": self.matrix.to_json()["columns"],
            "reported": [one.to_json() for one in self.reported],
            "left_out": [{"source": name, "reason": reason} for name, reason in self.left_out],
        }

    def to_csv(self) -> bytes:
        """As `board.csv` holds it: a line a run."""
        rows = self.table()
        return csv_text(list(rows[0]), (row.values() for row in rows)).encode()


def read_board(out: RunDir, sources: Iterable[Source], left_out: Sequence[tuple[str, str]] = ()) -> Board:
    """Put runs into a table in which only runs of the same protocol share a column.

    A run that is not finished, a part, a damaged one, and a second run of the same model under the same protocol are
    left out with the reason.

    Args:
        out: the folder of the board.
        sources: runs, in order.
        left_out: sources that could not be read at all, with the reason.

    Raises:
        RunError: no run is left.
    """
    missing, read = list(left_out), list[tuple[Source, RunConfig, Protocol, dict[str, Any]]]()
    taken = dict[tuple[str, str, str], str]()
    for source in sources:
        try:
            config = read_config(source.run)
            protocol, summary = protocol_of(config), _read_summary(source.run, config)
        except RunError as error:
            missing.append((source.name, str(error)))
            continue
        key = (config.model_name, config.model_fingerprint, protocol.digest)
        if key in taken:
            missing.append((source.name, f"the same model under the same protocol as {taken[key]}"))
            continue
        taken[key] = source.name
        read.append((source, config, protocol, summary))
    if not read:
        why = f"; {missing[0][0]}: {missing[0][1]}" if missing else ": give folders with run directories or submissions"
        raise RunError(f"no finished run for a board{why}")
    names, titles = _names(config for _, config, _, _ in read), _titles([(c, p) for _, c, p, _ in read])
    entries = list[Entry]()
    for source, config, protocol, summary in read:
        model, (data, plan) = names[config.model_name, config.model_fingerprint], titles[protocol.digest]
        cell = MatrixCell(model, data, plan, source.run, "finished", summary=summary, gates=KeptGates())
        entries.append(Entry(source, config, protocol, cell))
    return _rank(out, entries, missing)


def _rank(out: RunDir, entries: list[Entry], missing: list[tuple[str, str]]) -> Board:
    """The board of the entries; those whose rows turn out to be damaged are left out."""
    models = dict.fromkeys(entry.cell.model for entry in entries)
    size = Counter((entry.cell.data, entry.cell.plan) for entry in entries)
    at = {(entry.cell.model, entry.cell.data): entry for entry in entries}
    columns = rank_columns([
        MatrixColumn(data, plan, tuple(
            at[model, data].cell if (model, data) in at else MatrixCell(model, data, plan, out, ABSENT)
            for model in models
        ))
        for data, plan in sorted(size, key=lambda key: -size[key])
    ])  # fmt: skip
    damaged = {(c.model, c.data): c.reason for column in columns for c in column.cells if c.state == "failed"}
    if damaged:
        missing += [(at[key].source.name, reason) for key, reason in damaged.items()]
        kept = [entry for key, entry in at.items() if key not in damaged]
        if not kept:
            raise RunError(f"no run for a board; {missing[-1][0]}: {missing[-1][1]}")
        return _rank(out, kept, missing)
    record = MatrixRecord(
        schema=1, models=dict.fromkeys(models, ""), data=dict.fromkeys((column.data for column in columns), ""),
        plans={column.plan: "" for column in columns}, options={},
    )  # fmt: skip
    order, places = list(models), [column.data for column in columns]
    entries = sorted(entries, key=lambda entry: (order.index(entry.cell.model), places.index(entry.cell.data)))
    return Board(Matrix(out, record, columns, ()), tuple(entries), tuple(missing))


def _read_summary(run: RunDir, config: RunConfig) -> dict[str, Any]:
    if config.part is not None:
        raise RunError(f"part {config.part} of a run: join all parts by unshaken merge")
    if not is_finished(run):
        raise RunError("not finished, or rows are missing: finish it by its command with --resume")
    summary: dict[str, Any] = run.read_json(SUMMARY)
    validate(_Summary, summary, f"{run}: {SUMMARY}", RunError, f"make it again by unshaken report {run}")
    return summary


def _names(configs: Iterable[RunConfig]) -> dict[tuple[str, str], str]:
    """Model's name and fingerprint to its name in the table; where two have one name, with the fingerprint's begin."""
    keys = dict.fromkeys((config.model_name, config.model_fingerprint) for config in configs)
    count = Counter(name for name, _ in keys)
    return {(name, mark): name if count[name] == 1 else f"{name} ({mark[:6]})" for name, mark in keys}


def _titles(read: Sequence[tuple[RunConfig, Protocol]]) -> dict[str, tuple[str, str]]:
    """Digest of each protocol to the names of its data, with the protocol's code, and of its plan."""
    found = dict[str, tuple[str, str]]()
    for config, protocol in read:
        data = re.sub(r"\s+", " ", config.data)[-60:]
        found.setdefault(protocol.digest, (f"{data} ({protocol.code})", f"{config.plan_name}{_budgets(config)}"))
    return found


def _budgets(config: RunConfig) -> str:
    """The budgets of a plan behind its name, ` linf 8/255` or ` linf 2/255 to 8/255`; empty where it has none."""
    of_norm = dict[str, list[float]]()
    for entry in config.plan:
        if entry.eps:
            of_norm.setdefault(entry.norm or "eps", []).extend(entry.eps)
    texts = [(norm, dict.fromkeys(map(show_budget, (min(eps), max(eps))))) for norm, eps in of_norm.items()]
    return "".join(f" {norm} {' to '.join(ends)}" for norm, ends in texts)

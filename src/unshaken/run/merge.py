"""`merge_runs`: runs of one configuration that have some shards each, such as its parts, joined to one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.numbers import shorten
from unshaken.core.part import CLEAN
from unshaken.core.progress import track
from unshaken.run.local import finish, labels_not_run
from unshaken.run.plan import prepare
from unshaken.store.config import NAME, RunConfig, find_differences, read_config
from unshaken.store.lock import locked
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import write_ids
from unshaken.store.split import parse_part

Unit = tuple[str, int]
"""A step's label and a shard: what a run has whole or not at all."""
BY_LABEL = ("cost", "flags")
"""Tables whose files are named after steps; those of the others are named after conditions."""
BEGUN = "merge.json"
"""The file that is there until run and report are written: the same call goes on where one was stopped."""
START = "start-00000.parquet"
"""File of the flags that are known before any sample is read."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One of the runs.

    Args:
        run: its directory.
        config: its configuration.
        files: table to the names of its files.
        finished: units whose rows are all there.
    """

    run: RunDir
    config: RunConfig
    files: Mapping[str, frozenset[str]]
    finished: frozenset[Unit]


def merge_runs(
    runs: Sequence[RunDir],
    out: RunDir,
    *,
    allow_missing: bool = False,
    begin: Callable[[bool], None] = lambda first: None,
) -> None:
    """Join runs of one configuration to one run directory; the runs stay as they are.

    Args:
        runs: their directories.
        out: where the whole run is written; it must hold no run, but for one that the same call began. The file
            `BEGUN` stays there for the caller to remove.
        allow_missing: go on where samples or conditions are in none of the runs; the result can be resumed.
        begin: as of `execute`.

    Raises:
        ParameterError: no run is given.
        RunError: two runs differ in what decides rows or have different rows of the same samples, a file is damaged,
            samples are missing, or `out` holds a run.
    """
    if not runs:
        raise ParameterError("no run to merge: give the directories of its parts")
    first = read_config(runs[0])
    steps = {CLEAN.id: [CLEAN.id], **{s.label: [c.id for c in s.conditions] for s in prepare(first.plan)}}
    sources = [_read_source(run, steps) for run in runs]
    _check_configs(sources)
    chosen = _choose(sources, steps)
    if not chosen:
        raise RunError(f"{runs[0]}: nothing to merge, no run has finished any rows; resume the runs first")
    missing = find_missing(sources, chosen, steps)
    if missing and not allow_missing:
        raise RunError(f"{out}: not merged, {missing}; compute it, or add --allow-missing to leave it out")
    with locked(out):
        begun = {"schema": 1, "identity": first.identity}
        if not out.exists(BEGUN):
            _check_empty(out)
            out.write_json(begun, BEGUN)
        elif out.read_json(BEGUN) != begun:
            raise RunError(f"{out}: a merge of other runs was stopped here; choose another --out")
        out.identify(first.identity)
        _write_units(out, sources, chosen, steps)
        finish(out, first, sorted({shard for _, shard in chosen}))
        config = first.model_copy(update={"part": None, "beside": [], "provenance": _provenance(sources)})
        write_ids(out, config.ids)
        begin(True)
        out.write_json(config.to_json(), NAME)  # last: until then it is no run


def find_missing(sources: Sequence[Source], chosen: Mapping[Unit, Source], steps: Iterable[str]) -> Missing:
    """The units that no run has, without those of steps that cannot be run with this model or data."""
    config, skipped = sources[0].config, set[str]()
    for source in sources:
        skipped |= labels_not_run(source.run.rows("flags", ["name", "detail"]))
    wanted = [label for label in steps if label not in skipped]
    absent = {label: [s for s in range(config.shards) if (label, s) not in chosen] for label in wanted}
    return Missing(config, absent, [s.config.part for s in sources])


def _read_source(run: RunDir, steps: Mapping[str, Sequence[str]]) -> Source:
    """A run, and which of the units it has."""
    config = read_config(run)
    if config.inside:
        raise RunError(f"{run}: it has further runs inside ({config.inside[0]}), and such runs cannot be merged")
    done, spent = run.finished(), run.finished("cost")
    units = {(label, shard) for label, shard in spent if label in steps and shard < config.shards}
    whole = {(label, shard) for label, shard in units if all((c, shard) in done for c in steps[label])}
    whole = {(label, shard) for label, shard in whole if (CLEAN.id, shard) in whole}
    files = {table: frozenset(run.names("rows", table, suffix=".parquet")) for table in run.names("rows")}
    files["examples"] = frozenset(run.names("examples", suffix=".safetensors"))
    return Source(run, config, files, frozenset(whole))


def _check_configs(sources: Sequence[Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        same_part = other.config.model_copy(update={"part": first.config.part})
        found = find_differences(first.config, same_part)
        if found:
            raise RunError(f"{other.run}: cannot be merged with {first.run}, which has another configuration "
                           f"({'; '.join(found)}); merge runs of the same command only")  # fmt: skip


def _check_empty(out: RunDir) -> None:
    if out.exists(NAME):
        raise RunError(f"{out}: this directory already holds a run; choose another --out")
    if out.exists("rows") or out.exists("examples"):
        raise RunError(f"{out}: this directory holds rows of no run; choose another --out")


def _choose(sources: Sequence[Source], steps: Mapping[str, Sequence[str]]) -> dict[Unit, Source]:
    """The run that each unit is taken from: of those that have it the one with most of its shard; the rest must agree.

    Raises:
        RunError: two runs have different rows of one unit.
    """
    count: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    holders: dict[Unit, list[int]] = defaultdict(list)
    for place, source in enumerate(sources):
        for unit in source.finished:
            count[unit[1]][place] += 1
            holders[unit].append(place)
    chosen = {}
    for unit in sorted(holders, key=lambda u: (u[1], u[0])):
        best, *others = sorted(holders[unit], key=lambda place: (-count[unit[1]][place], place))
        for other in others:
            _check_agreement(sources[best], sources[other], unit, steps)
        chosen[unit] = sources[best]
    return chosen


def _check_agreement(one: Source, other: Source, unit: Unit, steps: Mapping[str, Sequence[str]]) -> None:
    pairs = [(table, file) for table, file in _files(one, unit, steps) if table not in BY_LABEL]
    if pairs != [(table, file) for table, file in _files(other, unit, steps) if table not in BY_LABEL]:
        raise RunError(f"{other.run}: it has other tables of {unit[0]!r} than {one.run}; leave one of the runs out")
    for table, file in pairs:
        rows = [_rows(source, table, file)[1] for source in (one, other)]
        if (column := differing_column(*rows)) is not None:
            raise RunError(
                f"{other.run}: rows/{table}/{file} differs from that of {one.run} (column {column!r}), though both are "
                "of the same samples; leave one of the runs out"
            )


def _files(source: Source, unit: Unit, steps: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Table and name of the files of rows of a unit."""
    label, shard = unit
    for table in sorted(source.files.keys() - {"examples"}):
        names = [label] if table in BY_LABEL else steps[label]
        if table == "flags" and label == CLEAN.id:
            names = ["model"]
        for file in (f"{name}-{shard:05d}.parquet" for name in names):
            if file in source.files[table]:
                yield table, file


def _rows(source: Source, table: str, file: str) -> tuple[bytes, pa.Table]:
    """A file's bytes, and the rows in it.

    Raises:
        RunError: it is damaged, or holds samples of another shard.
    """
    data = source.run.read("rows", table, file)
    rows = parse_rows(data, table, file, str(source.run), run=source.run.identity)
    if "id" in rows.column_names and table not in BY_LABEL:
        name, _, number = file.removesuffix(".parquet").rpartition("-")
        wanted, ids = pa.array(source.config.shard_ids(int(number)), pa.string()), rows["id"].combine_chunks()
        known = bool(pc.all(pc.is_in(ids, wanted), min_count=0).as_py())
        if not known or (table == "outcomes" and name == CLEAN.id and len(ids) != len(wanted)):
            raise RunError(
                f"{source.run}: rows/{table}/{file} is damaged (its rows are not those of the shard's samples); delete "
                "it and resume the run"
            )
    return data, rows


def _write_units(
    out: RunDir, sources: Sequence[Source], chosen: Mapping[Unit, Source], steps: Mapping[str, Sequence[str]]
) -> None:
    with track("merge", len(chosen)) as task:
        for unit, source in chosen.items():
            for table, file in _files(source, unit, steps):
                out.write(_rows(source, table, file)[0], "rows", table, file)
            label, shard = unit
            for condition in steps[label]:
                # clean images belong to the pictures of all steps, which may come from several runs
                _write_examples(out, sources if label == CLEAN.id else [source], condition, shard)
            task.advance(1)
    for source in [s for s in sources if START in s.files.get("flags", ())][:1]:  # each run has the same
        out.write(_rows(source, "flags", START)[0], "rows", "flags", START)


def _write_examples(out: RunDir, sources: Sequence[Source], condition: str, shard: int) -> None:
    file, images = f"{condition}-{shard:05d}.safetensors", dict[str, Tensor]()
    place = {name: i for i, name in enumerate(sources[0].config.shard_ids(shard))}
    holders = [source for source in sources if file in source.files["examples"]]
    for source in holders:
        found = source.run.read_examples(file)
        if found.keys() - place.keys() or len({i.shape for i in [*images.values(), *found.values()]}) > 1:
            raise RunError(f"{source.run}: examples/{file} is damaged (its images are not the shard's); delete it")
        images = found | images
    order = sorted(images, key=place.__getitem__)
    if order:
        out.write_examples(torch.stack([images[i] for i in order]), order, condition, shard)


def _provenance(sources: Sequence[Source]) -> dict[str, Any]:
    """Versions and machines of all runs: one value where they agree, else all of them in a line."""
    found: dict[str, list[Any]] = {}
    for source in sources:
        for name, value in source.config.provenance.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    joined = {name: values[0] if len(values) == 1 else "; ".join(map(str, values)) for name, values in found.items()}
    return {**joined, "merged_runs": len(sources)}


CLOCK = frozenset({"seconds", "model_seconds", "method_seconds", "wall_seconds"})
"""Columns of times, which differ from one computation to the next."""
TOLERANCE = 1e-4
"""Absolute and relative difference of floats that rounding on another processor may make."""


def differing_column(first: pa.Table, second: pa.Table) -> str | None:
    """The first column in which two tables of rows differ; None where they are the same.

    Times are left out; floats may differ by `TOLERANCE`, and NaN equals NaN. `rows` is the answer for tables of other
    lengths or other columns.

    Args:
        first: rows of one condition and shard.
        second: rows of the same.
    """
    names = [name for name in first.column_names if name not in CLOCK]
    if len(first) != len(second) or names != [name for name in second.column_names if name not in CLOCK]:
        return "rows"
    return next((name for name in names if not _same(first[name], second[name])), None)


def _same(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    a, b = first.combine_chunks(), second.combine_chunks()
    if a.type != b.type or not a.is_null().equals(b.is_null()):
        return False
    while pa.types.is_list(a.type):
        if not pc.list_value_length(a).equals(pc.list_value_length(b)):
            return False
        a, b = a.flatten(), b.flatten()
    if not pa.types.is_floating(a.type):
        return bool(a.equals(b))
    x, y = (v.drop_null().to_numpy(zero_copy_only=False) for v in (a, b))
    return x.shape == y.shape and bool(np.allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))


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

"""`matrix`: models x data x plans as one run of runs, which ends in one table with simultaneous comparisons."""

from __future__ import annotations

import re
import traceback
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from unshaken.api.audit import check_gates_planned, run_plan
from unshaken.api.division import asked_division, write_division
from unshaken.api.job import choose_device, prepare_run
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments, refuse_code
from unshaken.core.documents import read_yaml
from unshaken.core.errors import Busy, ParameterError, RunError, UnshakenError, did_you_mean, is_out_of_memory
from unshaken.core.keywords import keywords
from unshaken.core.numbers import shorten
from unshaken.core.options import Options, declared
from unshaken.core.package import public
from unshaken.core.progress import Task, track
from unshaken.core.texts import first_line
from unshaken.core.user_code import describe_exit, is_raised_by_code, refuse_exit
from unshaken.data import BadSample, Dataset, DataSource, as_dataset
from unshaken.data.resident import RESIDENT_BYTES
from unshaken.models.loaders.kinds import find_kind
from unshaken.models.loaders.spec import parse_model_spec
from unshaken.report import Gate
from unshaken.report.blocks import Page
from unshaken.report.gates import NO_REGRESSION
from unshaken.report.gates.kept import read_gates
from unshaken.report.matrix import FAILURE, NAME, MatrixCell, MatrixRecord, is_finished
from unshaken.report.pages.matrix import PAGE, TABLE, matrix_page, write_matrix
from unshaken.report.render.notebook import render_notebook
from unshaken.report.write import make_report
from unshaken.run import load_plan
from unshaken.run.budgets import check_budget_sizes
from unshaken.run.engine import LOCAL, Engine, read_engine
from unshaken.run.local import Interrupted
from unshaken.run.plan import prepare
from unshaken.run.pool import open_pool
from unshaken.run.process_pool import Unit
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import check_same, read_config
from unshaken.store.journal import FOLDER as JOURNALS
from unshaken.store.lock import NO_LOCK, Lock, locked
from unshaken.store.run_dir import RunDir
from unshaken.store.split import parse_part, shards_of_part

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}(?<!\.)")
KINDS = ("models", "data", "plans")
FILES = (NAME, TABLE, f"{PAGE}.html", f"{PAGE}.md", "run.lock")
"""In the folder of a matrix, beside the folders of its models."""
CALL = ("out", "resume", "part", "engine", "download")
"""Options of a call, which a file does not have."""
UNRECORDED = (*CALL, "gates", "track", "slices", "meta")
"""Options that `matrix.json` does not keep: gates and slices stand in the runs, an address may hold a secret."""
REFUSED = {
    "name": "models have their names from `models`",
    "baseline": "a baseline is one run, and the cells are of several models",
    "register": "register the version of one model, by unshaken audit",
    "share": "several jobs share a matrix by part",
}
"""Options of a single run that a matrix has no use for, with the reason."""


@dataclass(frozen=True, slots=True)
class MatrixResult:
    """A matrix of runs.

    Args:
        run: its folder; each cell is a run directory in it.
        summary: what `matrix.json` holds.
        cells: the run of each model, data set and plan; those that failed say why.
        failed: cells of this call that failed.
        page: what `index.html` shows, as blocks.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)
    cells: tuple[MatrixCell, ...] = field(repr=False)
    failed: tuple[MatrixCell, ...]
    page: Page = field(repr=False)
    _rows: list[dict[str, Any]] = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether all gates of all cells passed; False where one is not decided."""
        return all(result.held for cell in self.cells for result in cell.gates.results)

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Samples that could not be used, each once for a data set, with the reason."""
        found = dict[str, str]()
        for cell in self.cells:
            found |= {f"{cell.data}/{one['id']}": one["reason"] for one in cell.summary.get("bad_samples", ())}
        return tuple(BadSample(id, reason) for id, reason in found.items())

    def table(self) -> list[dict[str, Any]]:
        """A row a cell, as in `matrix.csv`: figures with intervals, ranks, cost, gates; None where there is none."""
        return [dict(row) for row in self._rows]

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/{PAGE}.html")


@public("matrix")
@of_arguments
@keywords(Options)
def matrix(
    models: Mapping[str, str | nn.Module] | Sequence[str],
    data: Mapping[str, DataSource] | Sequence[str],
    plans: Mapping[str, str | Sequence[Any]] | Sequence[str] = ("quick",),
    **options: Unpack[Options],
) -> MatrixResult:
    """Audit several models on several data sets under several plans, and compare them in one table.

    Each cell is the run of an `audit` in `OUT/MODEL/DATA/PLAN`. A data set is decoded once for all models, as far as
    its images fit into 2 GiB. A cell that fails is a line of the table with its reason; the others are run.

    Args:
        models: name to SPEC or module, or SPECs, which are named after themselves.
        data: name to SPEC or object (see `audit`), or SPECs.
        plans: name to a plan's name, file or lines, or names and files.
        options: see `Options`; they hold for all cells. A gate is for all cells, or, as `MODEL/DATA/PLAN: GATE`, for
            those that fit; `*` stands for any characters, and what is left away for any name. `part` is one of the
            cells. `resume` leaves finished cells alone, goes on with others and adds new ones.

    Returns:
        The finished matrix.

    Raises:
        ParameterError: a name, SPEC, plan, gate or option is wrong.
        DataError: a data set cannot be opened.
        RunError: the folder holds something else, or a matrix without `resume`, or cannot be written.
    """
    definition, datasets = _define(models, data, plans, options)
    run, part = RunDir(definition.out), definition.part
    with nullcontext(NO_LOCK) if part is not None else locked(run) as lock:
        _begin(run, definition)
        own = list(shards_of_part(part, len(definition.cells)))
        try:
            with track("matrix", len(own)) as task:
                if definition.engine != LOCAL:
                    _run_in_pool(definition, run, own, task, lock)
                else:
                    compute = _Compute(definition, RESIDENT_BYTES, datasets)
                    for number in own:
                        lock.renew()
                        task.advance(0, note=definition.cells[number].place)
                        compute(number)
                        task.advance(1)
        except (KeyboardInterrupt, Interrupted):
            write_matrix(run)
            raise
        made = write_matrix(run)
    at = {cell.place: cell for cell in made.cells}
    failed = tuple(at[definition.cells[n].place] for n in own if at[definition.cells[n].place].state == "failed")
    return MatrixResult(run, made.to_json(), made.cells, failed, matrix_page(made), made.table())


@public()
def read_matrix_file(path: str) -> dict[str, Any]:
    """The arguments of `matrix` that a YAML file gives.

    Args:
        path: of a file with `models`, `data`, `plans`, `gates` and options of all runs.

    Raises:
        ParameterError: it is no such file; the message names the key.
        ModelError: it names code that the call did not allow.
    """
    what = f"matrix {path!r}"
    found = read_yaml(Path(path), what, ParameterError)
    if not isinstance(found, dict):
        raise ParameterError(f"{what} must be a table with the keys models, data and plans")
    refuse_code(found, what)
    known = declared()
    usable = [*KINDS, *(name for name in known if name not in (*CALL, *REFUSED))]
    for key, value in found.items():
        if key in CALL:
            raise ParameterError(f"{what}: {key} is of one call: give --{key} on the command line")
        if key not in usable:
            reason = REFUSED.get(key) or did_you_mean(str(key), usable)
            raise ParameterError(f"{what}: no key {shorten(str(key))} here; {reason}")
        if key in known:
            found[key] = _option(what, key, value)
    for key in ("models", "data"):
        if key not in found:
            raise ParameterError(f"{what} has no {key}: write '{key}:' with a line 'NAME: SPEC' for each")
    for key in KINDS:
        values = found.get(key, "quick")
        for one in values.values() if isinstance(values, dict) else values if isinstance(values, list) else [values]:
            if not isinstance(one, str):
                form = "names or files, or of lines NAME: FILE" if key == "plans" else "SPECs, or of lines NAME: SPEC"
                raise ParameterError(f"{what}: {key}: {shorten(one)} is no text; write a list of {form}")
    return found


def _option(what: str, key: str, value: Any) -> Any:
    """The value of an option in a file, of the type that its function has."""
    kind, option = declared()[key]
    word, meaning = option.word or ("", None)
    if key == "gates":
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ParameterError(f'{what}: gates must be a list of texts in quotes, such as "clean.accuracy >= 0.9"')
        return texts
    if word and value == word:
        return meaning
    expected = bool if kind is bool else None if option.bounds else str
    if expected is not None and not isinstance(value, expected):
        form = "true or false" if expected is bool else "a text"
        raise ParameterError(f"{what}: {key}: {shorten(value)} is not {form}")
    return value


@dataclass(frozen=True, slots=True)
class _Cell:
    model: str
    data: str
    plan: str
    gates: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.model}/{self.data}/{self.plan}"


@dataclass(frozen=True, slots=True)
class _Definition:
    """A matrix, checked; cells of one data set stand together, and of these the cells of one model."""

    out: str
    models: Mapping[str, Any]
    data: Mapping[str, Any]
    plans: Mapping[str, Any]
    options: Options
    part: str | None
    engine: Engine
    record: MatrixRecord
    cells: tuple[_Cell, ...]

    def name_unit(self, unit: Unit) -> str:
        """The cell of a number, for messages."""
        return f"cell {self.cells[int(str(unit))].place}"

    def run_of(self, number: int) -> RunDir:
        """The directory of a cell."""
        return RunDir(f"{self.out.rstrip('/')}/{self.cells[number].place}")


def _define(models: Any, data: Any, plans: Any, given: Options) -> tuple[_Definition, dict[str, Dataset]]:
    """Check all that can be checked before a model is loaded; the data sets are opened for that."""
    for name, reason in REFUSED.items():
        if given.get(name) not in (None, False):
            raise ParameterError(f"{name} {shorten(given.get(name))} is not for a matrix: {reason}")
    if given.get("out") is None:
        raise ParameterError("a matrix needs an out: the folder of its runs")
    own_models, own_data, own_plans = name_all(models, "model"), name_all(data, "data set"), name_all(plans, "plan")
    for spec in own_models.values():
        if isinstance(spec, str):
            parsed = parse_model_spec(spec)
            find_kind(parsed.kind, parsed.name).check_options(parsed)
        elif not isinstance(spec, nn.Module):
            raise ParameterError(
                f"a model is a SPEC such as 'demo' or a torch module, not of type {type(spec).__name__}"
            )
    texts, part = given.get("gates", ()), given.get("part")
    single: Options = {**given, "gates": (), "part": None}
    options = check_options(records=(NAME,), **single)
    for plan in own_plans.values():
        check_budget_sizes(prepare(load_plan(plan)), None, allow=options["allow_large_eps"])
    places = [(m, d, p) for d in own_data for m in own_models for p in own_plans]
    gates = _gates([texts] if isinstance(texts, str) else texts, places)
    if part is not None and parse_part(part)[1] > len(places):
        raise ParameterError(f"part {part}: the matrix has {len(places)} cells; take at most as many parts")
    datasets = {name: as_dataset(source, download=options["download"]) for name, source in own_data.items()}
    record = MatrixRecord(
        schema=1,
        models={n: m if isinstance(m, str) else f"<{type(m).__name__}>" for n, m in own_models.items()},
        data={n: dataset.options.spec for n, dataset in datasets.items()},
        plans={n: p if isinstance(p, str) else "custom" for n, p in own_plans.items()},
        options={k: v for k, v in options.items() if k not in UNRECORDED and v != declared()[k][1].default},
    )
    cells = tuple(_Cell(*place, tuple(gates[place])) for place in places)
    engine = read_engine(options["engine"])
    out = str(options["out"])
    return _Definition(out, own_models, own_data, own_plans, options, part, engine, record, cells), datasets


def name_all(values: Any, what: str) -> dict[str, Any]:
    """Name to SPEC, plan or object; SPECs and plans of a list are named after themselves.

    Args:
        values: a table of names, or a list of texts.
        what: for messages, such as `model`.

    Raises:
        ParameterError: there is none, one has no name, or a name is twice there or cannot be a folder.
    """
    if isinstance(values, Mapping):
        pairs = [(str(name), value) for name, value in values.items()]
    else:
        several = [values] if isinstance(values, str) else values
        if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
            raise ParameterError(f"a {what} that is no text needs a name: give a table of names, as in {{'mine': ...}}")
        pairs = [(_own_name(one, what), one) for one in several]
    if not pairs:
        raise ParameterError(f"no {what} is given: give one or more")
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"{what} {shorten(name)} is no name of a folder: write NAME: {shorten(value)} with a NAME of 1 to 60 "
                "letters, digits, dots, hyphens and underscores"
            )
        if what == "model" and name.casefold() in FILES:
            raise ParameterError(f"model {name!r} has the name of a file of the matrix: give it another")
    counts = Counter(name.casefold() for name, _ in pairs)
    if twice := next((name for name, _ in pairs if counts[name.casefold()] > 1), None):
        raise ParameterError(f"{what} {twice!r} is there twice (case does not count): give each a name of its own")
    return dict(pairs)


def _own_name(text: str, what: str) -> str:
    return Path(text).stem if what == "plan" else re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")


def _gates(texts: Sequence[str], places: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], list[str]]:
    """The gates of each cell, from texts `MODEL/DATA/PLAN: GATE` or `GATE`."""
    found: dict[tuple[str, str, str], list[str]] = {place: [] for place in places}
    for text in texts:
        head, colon, rest = text.partition(":")
        pattern, gate = (head.strip(), rest) if colon else ("*", head)
        if Gate.parse(gate).name == NO_REGRESSION:
            raise ParameterError(f"gate {NO_REGRESSION!r} is not for a matrix: {REFUSED['baseline']}")
        wanted = pattern.split("/")
        chosen = [place for place in places if all(map(fnmatchcase, place, wanted))] if len(wanted) < 4 else []
        if not chosen:
            known = ["/".join(place[: len(wanted)]) for place in places]
            raise ParameterError(f"gate {shorten(text)}: no cell fits {pattern!r}; {did_you_mean(pattern, set(known))}")
        for place in chosen:
            found[place].append(" ".join(gate.split()))
    return found


def _begin(run: RunDir, definition: _Definition) -> None:
    """Write the record of a matrix that begins or goes on.

    Raises:
        RunError: the folder holds something else, or another matrix.
    """
    if run.exists(CONFIG):
        raise RunError(f"{run}: this directory already holds a run; choose another --out")
    record = definition.record.model_dump(mode="json", by_alias=True)
    if definition.part is not None:  # other parts work there, and one may begin in this moment
        if not run.create_json(record, NAME) and MatrixRecord.read(run) != definition.record:
            raise RunError(
                f"{run}: this directory holds a matrix of other models, data, plans or options; choose another --out, "
                "or change it by a call without --part and with --resume"
            )
        return
    if run.exists(NAME) and not definition.options["resume"]:
        raise RunError(
            f"{run}: this directory already holds a matrix; add --resume to continue it, or choose another --out"
        )
    run.write_json(record, NAME)


def _run_in_pool(definition: _Definition, run: RunDir, numbers: Sequence[int], task: Task, lock: Lock) -> None:
    """Run cells in other processes. Where one of several ended its process too often, each of them is tried alone."""
    waiting, running = deque(numbers), set[int]()
    remake = partial(_Compute, definition, RESIDENT_BYTES // definition.engine.processes)
    try:
        device = choose_device(definition.options["device"])
        with open_pool(definition.engine, run, remake, device=device, name_unit=definition.name_unit) as pool:
            while waiting or running:
                while waiting and pool.free():
                    running.add(number := waiting.popleft())
                    pool.begin(number)
                for unit in pool.wait():
                    running.discard(number := int(str(unit)))
                    task.advance(1, note=definition.cells[number].place)
                lock.renew()
    except RunError as error:
        if not running:
            raise
        if len(running) == 1:
            _write_failure(definition.run_of(running.pop()), error)
            task.advance(1)
        for few in (*([number] for number in sorted(running)), list(waiting)):
            if few:
                _run_in_pool(definition, run, few, task, lock)


class _Compute:
    """A function that runs a cell by its number, and keeps the data set of the last one.

    Args:
        definition: of the matrix.
        most: bytes of decoded images that are held at most.
        datasets: those that are open already.
    """

    def __init__(self, definition: _Definition, most: int, datasets: Mapping[str, Dataset] | None = None) -> None:
        self._definition, self._most, self._datasets = definition, most, datasets or {}
        self._name = ""
        self._dataset: Dataset | None = None

    def __call__(self, number: Unit) -> None:
        """Run a cell; a failure is written into its folder."""
        if not isinstance(number, int):
            raise RunError(f"{self._definition.out}: {number!r} is no cell")
        run = self._definition.run_of(number)
        try:
            with refuse_exit():
                self._run(self._definition.cells[number], run)
        except Exception as error:
            cause = error.__cause__
            if not isinstance(error, Interrupted):
                _write_failure(run, error)
            elif isinstance(cause, KeyboardInterrupt) and is_raised_by_code(cause):
                _write_failure(run, UnshakenError(describe_exit(cause)))
            else:
                raise
        else:
            run.remove(FAILURE)

    def _run(self, cell: _Cell, run: RunDir) -> None:
        model, plan = self._definition.models[cell.model], self._definition.plans[cell.plan]
        options: Options = {
            **self._definition.options, "out": run.path, "name": cell.model, "gates": cell.gates, "engine": "local",
            "resume": True,
        }  # fmt: skip
        dataset = self._open(cell.data)
        if not is_finished(run):
            run_plan(model, dataset, plan, options)
            return
        plan_name = plan if isinstance(plan, str) else "custom"
        job = prepare_run(run, model, dataset, load_plan(plan), options, [], plan_name)
        check_same(run, read_config(run), job.config)
        division, gates = asked_division(run, job.config, dataset, options), cell.gates
        if gates == read_gates(run).asked:
            gates = ()
        if gates or division:
            check_gates_planned(job, {**options, "gates": gates}, division)
            write_division(run, division, shared=False)
            make_report(run, gates=gates)

    def _open(self, name: str) -> Dataset:
        """A data set with the images that are decoded already; those of another one are let go."""
        if self._dataset is None or self._name != name:
            self._dataset = None
            found = self._datasets.get(name)
            if found is None:
                found = as_dataset(self._definition.data[name], download=self._definition.options["download"])
            self._name, self._dataset = name, found.with_decoded(self._most)
        return self._dataset


def _write_failure(run: RunDir, error: Exception) -> None:
    """Write why a cell failed, with the traceback where the error is none of this package.

    A run that has computed nothing is deleted, so that a repaired model, which is another one, begins anew. Nothing is
    written where another process is at work on the cell.
    """
    if isinstance(error, Busy):
        return
    record: dict[str, Any] = {"schema": 1, "reason": " ".join(str(error).split())}
    if is_out_of_memory(error):
        record["reason"] = "memory ran out; set a smaller batch_size, or a limit"
    elif not isinstance(error, UnshakenError):
        record["reason"] = f"{type(error).__name__}: {first_line(error)}"
        record["traceback"] = "".join(traceback.format_exception(error))
    try:
        with locked(run):
            if run.exists(CONFIG) and not run.finished() and not run.names(JOURNALS):
                run.fs.rm(run.root, recursive=True)
            run.write_json(record, FAILURE)
    except RunError:
        if not isinstance(error, RunError):
            raise

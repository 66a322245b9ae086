"""Commands that read finished runs: `unshaken report|compare|query|slices|map|card`."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.names import check_data, check_model
from unshaken.cli.options import OWN, BatchSize, Device, Json, Run, Track, Workers
from unshaken.cli.runs import show_run, show_verdict
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, one_line, print_json, print_line, print_page, table
from unshaken.cli.verb import verb
from unshaken.core.options import COMPARE_RECORDS, MARKDOWN, NORM_RECORDS, Argument, Option, OutputFolder, UpdatedFile
from unshaken.core.texts import csv_text

if TYPE_CHECKING:
    import duckdb

    from unshaken.store.run_dir import RunDir


@verb(name="report")
def report(
    session: Session,
    directories: Annotated[list[str], Argument("Run directory; several with --for.", "DIR ...")],
    layout: Annotated[
        Literal["ai-act", "nist", "iso-24029"] | None,
        Option(
            "Lay out the figures of the runs as a file for the EU AI Act, the NIST AI RMF or ISO/IEC 24029 asks for "
            "them, and name what was not measured.",
            "ai-act|nist|iso-24029",
            flags="--for",
        ),
    ] = None,
    out: Annotated[
        str | None,
        OutputFolder("Folder for the page of --for. Default: beside the last run.", "DIR", records=NORM_RECORDS),
    ] = None,
    json: Json = False,
) -> int:
    """Rebuild the report of a run from its directory, or lay out the figures of runs for a file.

    Exit codes: 0 success, 1 a gate of the run failed, 2 wrong usage, bad input, a run that has not finished, or a gate
    that is not decided.
    """
    from unshaken.core.errors import ParameterError
    from unshaken.report.rebuild import rebuild_report
    from unshaken.store.run_dir import RunDir

    if layout is not None:
        return _lay_out(session, layout, directories, out, json=json)
    if out is not None:
        raise ParameterError("--out is the folder of --for: a report is written into the directory of its run")
    if len(directories) > 1:
        raise ParameterError(f"{len(directories)} run directories are given: give one, or several with --for")
    run = RunDir(directories[0])
    shown = rebuild_report(run)
    if json:
        print_json(shown)
    else:
        print_line(f"report: {str(run).rstrip('/')}/report.html")
    return show_verdict(run)


def _lay_out(session: Session, layout: str, directories: Sequence[str], out: str | None, *, json: bool) -> int:
    """`report --for`: write the figures of runs by the questions of a file."""
    from unshaken.report.pages.norms import lay_out, write_norms
    from unshaken.store.run_dir import RunDir

    filed = lay_out(layout, [RunDir(directory) for directory in directories])
    place = out or beside_last(directories, layout)
    page = write_norms(RunDir(place), filed)
    if json:
        print_json(filed.to_json())
        return 0
    if not session.quiet:
        print_page(page)
    print_line(f"page: {place.rstrip('/')}/norms.html")
    return 0


@verb(name="compare", python="compare")
def compare(
    session: Session,
    directories: Annotated[
        list[str], Argument("Two or more run directories; the first is the baseline.", "DIR DIR ...")
    ],
    out: Annotated[
        str | None,
        OutputFolder("Folder for the comparison page. Default: beside the last run.", "DIR", records=COMPARE_RECORDS),
    ] = None,
    family: Annotated[
        list[str] | None,
        Option(
            "Run of a baseline detector; effective robustness is measured from the line through all. Repeatable.", "DIR"
        ),
    ] = None,
    slope: Annotated[
        float | None, Option("Slope of that line, through 0, in the place of a family. Default: 0.45.", bounds=(0, 10))
    ] = None,
    track: Track = None,
    json: Json = False,
) -> int:
    """Compare runs on the same samples: paired differences with confidence intervals, corrected for multiple tests."""
    from unshaken import api
    from unshaken.report import write_comparison
    from unshaken.store.run_dir import RunDir

    result = api.compare(*directories, family=family or (), slope=slope, track=track)
    place = out or beside_last(directories)
    page = write_comparison(RunDir(place), result)
    if json:
        print_json(result.to_json())
        return 0
    if not session.quiet:
        print_page(page)
    print_line(f"page: {place.rstrip('/')}/compare.html")
    return 0


def beside_last(directories: Sequence[str], kind: str = "compare") -> str:
    """The default place of the page: a folder beside the last run, named after its kind and all runs.

    >>> beside_last(["runs/a", "runs/b/"])
    'runs/compare-a-b'
    """
    names = [posixpath.basename(d.rstrip("/")) or "run" for d in directories]
    parent = posixpath.dirname(directories[-1].rstrip("/"))
    return posixpath.join(parent, f"{kind}-{'-'.join(names)}"[:120])


@verb(name="slices", python="api.slices")
def slices(
    session: Session,
    directory: Run,
    by: Annotated[
        list[str] | None,
        Option(
            "Columns that divide the images, such as brightness, size:32+96 or weather*brightness. May be repeated. "
            "Default: all, that is class (of classifiers), all properties, and all columns of --meta and of the data.",
            "COLUMN,COLUMN",
        ),
    ] = None,
    meta: Annotated[str | None, OWN["meta"]] = None,
    data: Annotated[
        str | None,
        Option("Images of the run. Default: those of its record.", "SPEC", complete=complete_data, read=check_data),
    ] = None,
    gate: Annotated[list[str] | None, OWN["gates"]] = None,
    download: Annotated[bool, OWN["download"]] = False,
    json: Json = False,
) -> int:
    """Divide the images of a run by properties and metadata: accuracy, mAP or mIoU by slice, and weak slices confirmed.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 some samples of the run were unreadable.
    """
    from unshaken import api

    done = api.slices(directory, by or (), meta=meta, data=data, gates=gate or (), download=download)
    return show_run(session, done, json)


@verb(name="map", first="train data model layer umap device", python="api.map_of")
def map_images(
    session: Session,
    directory: Run,
    model: Annotated[
        str | None,
        Option("Model of the run. Default: that of its record.", "SPEC", complete=complete_model, read=check_model),
    ] = None,
    data: Annotated[
        str | None,
        Option("Images of the run. Default: those of its record.", "SPEC", complete=complete_data, read=check_data),
    ] = None,
    train: Annotated[
        str | None,
        Option(
            "Images that the model was trained on: the report shows the nearest one beside each example that was kept.",
            "SPEC",
            complete=complete_data,
            read=check_data,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        Option("Layer whose values are mapped. Default: what goes into the last linear layer.", "NAME"),
    ] = None,
    umap: Annotated[bool, Option("Add a map by UMAP (needs the extra umap).")] = False,
    points: Annotated[
        int, Option("Maximum number of images that the report draws; of more, some at random.", "N", (1, 100_000))
    ] = 5000,
    batch_size: BatchSize = "auto",
    workers: Workers = None,
    device: Device = "auto",
    download: Annotated[bool, OWN["download"]] = False,
    json: Json = False,
) -> int:
    """Draw a map of the images of a run in its report, by what the model makes of them: nearby points look alike to it.

    Exit codes: 0 success, 1 a gate of the run failed, 2 wrong usage or bad input, 3 some samples of the run were
    unreadable.
    """
    from unshaken import api

    with progress(session):
        done = api.map_of(
            directory, model=model, data=data, train=train, layer=layer, umap=umap, points=points,
            batch_size=batch_size, workers=workers, device=device, download=download,
        )  # fmt: skip
    return show_run(session, done, json)


SHOWN = 500
"""Rows of a result in a table; `--csv` and `--json` give all."""

LARGEST_CARD = 16 << 20
"""Bytes of a model card that results are added to."""
MOST_ROWS = 1_000_000
"""Rows of an answer."""
MEMORY = "1GiB"
"""What DuckDB may take for a statement."""
_SAFE = {
    "memory_limit": f"'{MEMORY}'",
    "temp_directory": "''",
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
"""Settings under which a statement reaches no file, no network and no variable of this program; the last seals them."""


@verb(name="query")
def query(
    directory: Run,
    sql: Annotated[str, Argument("SQL statement, e.g. 'select * from outcomes'.", "SQL")],
    json: Json = False,
    as_csv: Annotated[bool, Option("Print CSV instead of a table.", flags="--csv")] = False,
) -> int:
    """Query the results of a run in SQL (DuckDB). Tables: outcomes, flags, cost, gates and others."""
    from unshaken.core.errors import ParameterError
    from unshaken.report.summary import finite
    from unshaken.store.run_dir import RunDir

    if json and as_csv:
        raise ParameterError("--json and --csv cannot be combined: give one of them")
    names, rows = ask(RunDir(directory), sql)
    if json:
        print_json([finite(dict(zip(names, row, strict=True))) for row in rows])
    elif as_csv:
        sys.stdout.write(csv_text(names, rows))
    else:
        console().print(table(names, rows[:SHOWN]))
        if len(rows) > SHOWN:
            print_line(f"{len(rows) - SHOWN} more rows; --csv or --json gives all {len(rows)}")
    return 0


def ask(run: RunDir, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The answer to a statement about a run's rows.

    Args:
        run: whose rows.
        sql: DuckDB's SQL; every table of the run is a view of the same name.

    Returns:
        Names of the columns, and rows.

    Raises:
        RunError: there is no run.
        ParameterError: the statement is wrong, or wants more than the rows.
    """
    import duckdb

    from unshaken.core.errors import ParameterError

    reading = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
    with open_rows(run) as connection, _limited_memory():
        try:
            if any(s.type not in reading for s in connection.extract_statements(sql)):
                raise ParameterError(
                    "the statement does more than read: write one that only gives rows, such as select ..."
                )
            cursor = connection.execute(sql)
            if cursor is None or cursor.description is None:
                raise ParameterError("the statement returns no rows: use a query such as select ...")
            names, rows = [column[0] for column in cursor.description], cursor.fetchmany(MOST_ROWS + 1)
            if len(rows) > MOST_ROWS:
                raise ParameterError(f"the statement gives more than {MOST_ROWS:,} rows: end it with limit {MOST_ROWS}")
            return names, rows
        except (duckdb.OutOfMemoryException, MemoryError):
            raise ParameterError(
                f"SQL: the statement needs more than {MEMORY} of memory: let it give fewer rows"
            ) from None
        except duckdb.Error as error:
            message = str(error).partition("\n\nLINE")[0]
            if "reading the stream" in message:
                for table in run.names("rows"):
                    run.rows(table)  # raises the error that names the damaged file
            raise ParameterError(f"SQL: {one_line(message)}") from None


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Let this process take `MEMORY` twice at most: DuckDB does not count long texts in its own limit."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = used + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most if before[1] < 0 else min(most, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def open_rows(run: RunDir) -> duckdb.DuckDBPyConnection:
    """A database in memory with a view for each table, read as a statement needs it, and the table `gates`.

    Raises:
        RunError: there is no run.
    """
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

    from unshaken.core.errors import RunError
    from unshaken.core.tables import TABLES
    from unshaken.report.gates.kept import read_gates
    from unshaken.store.config import read_config
    from unshaken.store.tables import empty_table, schema_of

    if run.exists("run.json") or not run.exists("rows"):  # a folder of made images has rows alone
        read_config(run)
    run.check_marks()
    connection = duckdb.connect(":memory:")
    gates = [result.to_json() for result in read_gates(run).results]
    columns = {"gate": pa.string(), "state": pa.string(), "value": pa.float64(), "detail": pa.string()}
    connection.register("gates", pa.table({k: pa.array([g[k] for g in gates], kind) for k, kind in columns.items()}))
    parquet = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    for name in sorted({*TABLES, *(n for n in run.names("rows") if re.fullmatch(r"[a-z][a-z_]*", n))}):
        files = [run.at("rows", name, file) for file in run.names("rows", name, suffix=".parquet")]
        rows: Any = empty_table(name) if name in TABLES else None
        if files:
            try:
                rows = ds.dataset(files, format=parquet, filesystem=run.fs, schema=schema_of(name))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise RunError(f"{run}: rows/{name} is damaged ({one_line(str(error))[:200]})") from None
        if rows is not None:
            connection.register(name, rows)
    for setting, value in _SAFE.items():
        connection.execute(f"SET {setting} = {value}")
    return connection


@verb(name="card")
def card(
    directory: Annotated[str | None, Argument("Run directory; none with --data.", "[DIR]")] = None,
    data: Annotated[
        str | None,
        Option(
            "Describe data instead of a run: folder:DIR or parquet:FILE, as JSON-LD in MLCommons' format Croissant, "
            "which croissant:FILE reads.",
            "SPEC",
            complete=complete_data,
            read=check_data,
        ),
    ] = None,
    into: Annotated[
        str | None,
        UpdatedFile(
            "Card to update, such as README.md, or croissant.json of data; it is made if absent. Default: print it.",
            "FILE",
            kind="a Markdown file, or a JSON file of data",
            endings=(*MARKDOWN, ".json"),
        ),
    ] = None,
    name: Annotated[
        str | None,
        Option(
            "Name of the model or the data in the card. Default: that of the card, else of the run or data.", "TEXT"
        ),
    ] = None,
) -> int:
    """Write the results of a run as a Hugging Face model card, or describe data in the format Croissant."""
    from unshaken.core.documents import read_text
    from unshaken.core.errors import ParameterError
    from unshaken.store.run_dir import RunDir

    if (directory is None) == (data is None):
        raise ParameterError("give either a run, or --data SPEC")
    place = None if into is None else Path(into)
    if place is not None and not place.parent.is_dir():
        raise ParameterError(
            f"--into {into!r} cannot be written: there is no folder {str(place.parent)!r}, make it first"
        )
    try:
        old = read_text(place, LARGEST_CARD) if place is not None and place.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        form = "Markdown" if data is None else "JSON"
        raise ParameterError(f"--into {into!r} cannot be read ({error}); give a {form} file") from None
    new = _model_card(directory, old, name) if data is None else _data_card(data, place, old, name)
    if place is None:
        for line in new.splitlines():
            print_line(line)
        return 0
    RunDir(place.parent).write(new.encode(), place.name)
    print_line(f"card: {into}")
    return 0


def _model_card(directory: Any, old: str, name: str | None) -> str:
    from unshaken.report.model_card import model_card
    from unshaken.store.run_dir import RunDir

    return model_card(RunDir(directory), card=old, name=name)


def _data_card(spec: str, place: Path | None, old: str, name: str | None) -> str:
    import json

    from unshaken.core.documents import parse_json
    from unshaken.core.errors import ParameterError
    from unshaken.data.croissant_card import croissant_card

    if place is not None and place.suffix.lower() != ".json":
        raise ParameterError(f"--into {str(place)!r}: a card of data is a JSON file; end its name in .json")
    document = parse_json(old, f"--into {str(place)!r}", ParameterError) if old else {}
    if not isinstance(document, dict):
        raise ParameterError(f"--into {str(place)!r} is no table; give a file in the format Croissant, or a new one")
    found = croissant_card(spec, folder=None if place is None else place.parent, name=name, old=document)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"

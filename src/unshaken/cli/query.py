"""`unshaken query`: SQL over the rows of a run, which can read nothing else and write nothing."""

from __future__ import annotations

import csv
import io
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

from unshaken.cli.options import Json, Run
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.verb import verb
from unshaken.core.options import Argument, Option
from unshaken.core.texts import cell

if TYPE_CHECKING:
    import duckdb

    from unshaken.store.run_dir import RunDir

SHOWN = 500
"""Rows of a result in a table; `--csv` and `--json` give all."""

_SAFE = {
    "temp_directory": "''",
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
"""Settings under which a statement reaches no file, no network and no variable of this program; the last seals them."""


@verb
def query(
    directory: Run,
    sql: Annotated[str, Argument("SQL statement, e.g. 'select * from outcomes'.", "SQL")],
    json: Json = False,
    as_csv: Annotated[bool, Option("Print CSV instead of a table.", flags="--csv")] = False,
) -> int:
    """Query the results of a run in SQL (DuckDB). Tables: outcomes, flags, cost and others."""
    from unshaken.core.errors import ParameterError
    from unshaken.store.run_dir import RunDir

    if json and as_csv:
        raise ParameterError("--json and --csv cannot be combined: give one of them")
    names, rows = ask(RunDir(directory), sql)
    if json:
        print_json([_json(dict(zip(names, row, strict=True))) for row in rows])
    elif as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([[cell(v) for v in row] for row in [names, *rows]])
        sys.stdout.write(text.getvalue())
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
    with open_rows(run) as connection:
        try:
            if any(s.type not in reading for s in connection.extract_statements(sql)):
                raise ParameterError(
                    "the statement does more than read: write one that only gives rows, such as select ..."
                )
            cursor = connection.execute(sql)
            if cursor is None or cursor.description is None:
                raise ParameterError("the statement returns no rows: use a query such as select ...")
            return [column[0] for column in cursor.description], cursor.fetchall()
        except duckdb.Error as error:
            message = str(error).partition("\n\nLINE")[0]
            raise ParameterError(f"SQL: {one_line(message)}") from None


def open_rows(run: RunDir) -> duckdb.DuckDBPyConnection:
    """A database in memory with a view for each table, read as a statement needs it.

    Raises:
        RunError: there is no run.
    """
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

    from unshaken.core.errors import RunError
    from unshaken.run import read_config
    from unshaken.store.tables import SCHEMAS

    if run.exists("run.json") or not run.exists("rows"):  # a folder of made images has rows alone
        read_config(run)
    connection = duckdb.connect(":memory:")
    for name in sorted({*SCHEMAS, *(n for n in run.names("rows") if re.fullmatch(r"[a-z][a-z_]*", n))}):
        files = [run.at("rows", name, file) for file in run.names("rows", name, suffix=".parquet")]
        for file in files:
            run.check_file("rows", name, file.rpartition("/")[2])
        rows: Any = SCHEMAS[name].empty_table() if name in SCHEMAS else None
        if files:
            try:
                rows = ds.dataset(files, format="parquet", filesystem=run.fs, schema=SCHEMAS.get(name))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise RunError(f"{run}: rows/{name} is damaged ({one_line(str(error))[:200]})") from None
        if rows is not None:
            connection.register(name, rows)
    for setting, value in _SAFE.items():
        connection.execute(f"SET {setting} = {value}")
    return connection


def _json(value: Any) -> Any:
    from unshaken.report.summary import finite

    return finite(value)

"""`open_database`: the database of a store of reviews, its tables brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from unshaken.core.errors import RunError
from unshaken.serve.database import Database, writes

_LOCK = 7_042_118
"""Number of PostgreSQL's advisory lock for migrations."""


def open_database(url: str | Path) -> Database:
    """Open the database of a store; its tables are made or brought up to date.

    Args:
        url: `sqlite:///PATH`, a path, or `postgresql+psycopg://...`.

    Raises:
        ParameterError: the address is of another form.
        RunError: the database cannot be opened, or was made by a newer version.
        MissingExtra: the driver is absent.
    """
    return Database(url, what="the store of reviews", prepare=_migrate)


def _migrate(engine: sa.Engine, name: str) -> None:
    """Bring the tables up to date, one process at a time."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with engine.connect() as connection, connection.begin():
        if _revision(connection) == head:
            return
    with engine.connect() as connection, writes(connection):
        if engine.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        there = _revision(connection)
        known = {script.revision for script in scripts.walk_revisions()}
        if there is not None and there not in known:
            raise RunError(f"the store of reviews {name} was made by a newer version of unshaken: update unshaken")

        def upgrade(revision: Any, context: Any) -> Any:
            return scripts._upgrade_revs("head", revision)

        with EnvironmentContext(config, scripts, fn=upgrade) as environment:
            environment.configure(connection=connection, transactional_ddl=True)
            environment.run_migrations()


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)

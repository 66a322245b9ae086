"""The tables of the store: the log of verdicts, and what is counted from it so that a page costs no more than its rows.

`verdict` is the log: rows are appended, never changed. `item`, `reading` and `tally` hold what follows from it, and are
written in the transaction that appends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from unshaken.core.errors import RunError
from unshaken.core.numbers import shorten
from unshaken.labels.review.protocol import ItemState
from unshaken.serve.database import Database, writes

STATES = tuple(ItemState)
"""Order in which states are numbered in the column `state`; never change it."""

metadata = sa.MetaData()

reader = sa.Table(
    "reader", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("token_hash", sa.String(64), unique=True),
    sa.Column("created", sa.BigInteger, nullable=False),
)  # fmt: skip

review = sa.Table(
    "review", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("classes", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("labels", sa.Text, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("readers_per_item", sa.SmallInteger, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("log", sa.Integer, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("strata", sa.Text),
)  # fmt: skip

item = sa.Table(
    "item", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("sample", sa.Text, nullable=False),
    sa.Column("given", sa.Integer, nullable=False),
    sa.Column("suggested", sa.Integer),
    sa.Column("score", sa.Float),
    sa.Column("near", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("stratum", sa.SmallInteger),
    sa.UniqueConstraint("review", "key", name="item_key"),
    sa.Index("item_state", "review", "state", "id"),
    sa.Index("item_given", "review", "given", "state", "id"),
    sa.Index("item_suggested", "review", "suggested", "state", "id"),
    sa.Index("item_pair", "review", "given", "suggested", "state", "id"),
    sa.Index("item_score", "review", "state", "score", "id"),
)  # fmt: skip

verdict = sa.Table(
    "verdict", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item", sa.Integer, nullable=False),
    sa.Column("reader", sa.Integer, sa.ForeignKey("reader.id"), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("software", sa.String(64), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("verdict", sa.Text),
    sa.Column("shown", sa.Text, nullable=False),
    sa.Column("withdraws", sa.Integer),
    sa.Column("token", sa.String(100), nullable=False),
    sa.ForeignKeyConstraint(["review", "item"], ["item.review", "item.id"]),
    sa.UniqueConstraint("review", "reader", "token", name="verdict_token"),
    sa.UniqueConstraint("review", "withdraws", name="verdict_withdraws"),
    sa.Index("verdict_item", "review", "item", "number"),
    sa.Index("verdict_reader", "review", "reader", "number"),
)  # fmt: skip

reading = sa.Table(
    "reading", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("reader", sa.Integer, sa.ForeignKey("reader.id"), primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),
    sa.Column("revealed", sa.Boolean, nullable=False),
    sa.Column("handled", sa.Boolean, nullable=False),
    sa.Index("reading_item", "review", "item"),
)  # fmt: skip

assignment = sa.Table(
    "assignment", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("reader", sa.Integer, sa.ForeignKey("reader.id"), primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),
    sa.Index("assignment_item", "review", "item"),
)  # fmt: skip

tally = sa.Table(
    "tally", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
)  # fmt: skip

version = sa.Table(
    "version", metadata,
    sa.Column("review", sa.Integer, sa.ForeignKey("review.id"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
)  # fmt: skip


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
            raise RunError(
                f"the store of reviews {name} was made by a newer version of unshaken, or by another program: update "
                "unshaken, or name another file"
            )
        others = sa.inspect(connection).get_table_names() if there is None and engine.dialect.name == "sqlite" else []
        if others:
            raise RunError(f"{name} holds tables of another program, such as {shorten(others[0])}: name another file")

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

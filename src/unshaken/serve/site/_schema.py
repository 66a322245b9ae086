"""The tables of the list of runs. Rows of `run` can be read again from the directories; those of others cannot."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

run = sa.Table(
    "site_run_5", metadata,  # the number grows when the columns change; a list of an earlier form is then made anew
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("record", sa.String(32), nullable=False),
    sa.Column("mark", sa.Text, nullable=False),
    sa.Column("modified", sa.Float(53), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("trouble", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("model_spec", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("data_key", sa.String(64), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),
    sa.Column("conditions", sa.Integer, nullable=False),
    sa.Column("clean", sa.Float(53), nullable=False),  # -1 where there is none, so that every run has a place in order
    sa.Column("worst", sa.Float(53), nullable=False),
    sa.Column("flags", sa.Integer, nullable=False),
    sa.Column("bad", sa.Integer, nullable=False),
    sa.Column("gates", sa.String(16), nullable=False),
    sa.Column("figure", sa.Text, nullable=False),
    sa.Column("classes", sa.String(32), nullable=False),  # digest of their names, or empty
    sa.Column("work", sa.Text, nullable=False),
    sa.Column("units", sa.Float(53), nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("passes", sa.Float(53), nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # JSON: name to number, and `commit` to text
    sa.Column("parent", sa.Text, nullable=False),  # place of the run that keeps this one inside, or empty
    sa.Column("search", sa.Text, nullable=False),
    *(sa.Index(f"site_run_5_{name}", name, "id") for name in ("modified", "name", "clean", "worst", "samples")),
    sa.Index("site_run_5_data", "data_key"),
    sa.Index("site_run_5_parent", "parent"),
)  # fmt: skip

tag = sa.Table(
    "site_tag", metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("tag", sa.String(40), primary_key=True),
)  # fmt: skip

archived = sa.Table("site_archived", metadata, sa.Column("place", sa.Text, primary_key=True))
"""Runs that the list leaves out unless it is asked for them."""

note = sa.Table(
    "site_note", metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("reader", sa.String(64), nullable=False),
    sa.Column("changed", sa.Float(53), nullable=False),
)  # fmt: skip

saved = sa.Table(
    "site_saved", metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
)  # fmt: skip
"""Filters of the list under a name, as the query of an address."""

selection = sa.Table(
    "site_selection", metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("inside", sa.Text, nullable=False),
    sa.Column("outside", sa.Text, nullable=False),
)  # fmt: skip
"""Points of a run's map that were chosen, under a name: numbers of these samples and of the others, as JSON."""

deleted = sa.Table(
    "site_deleted", metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("kept", sa.Text, nullable=False),
    sa.Column("reader", sa.String(64), nullable=False),
    sa.Column("deleted", sa.Float(53), nullable=False),
)  # fmt: skip

job = sa.Table(
    "site_job_1", metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),  # stamp of the process that started it
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("reader", sa.String(64), nullable=False),
    sa.Column("out", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("code", sa.Integer),
    sa.Column("started", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53), nullable=False),
    sa.Index("site_job_1_folder", "folder", "id"),
)  # fmt: skip

ABSENT = -1.0
"""An accuracy that a run does not have."""

"""The first version: all tables as `unshaken.serve.review._schema` has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "reader",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("token_hash", sa.String(64), unique=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("classes", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("readers_per_item", sa.SmallInteger(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("log", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "item",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.Column("suggested", sa.Integer()),
        sa.Column("score", sa.Float()),
        sa.Column("near", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.UniqueConstraint("review", "key", name="item_key"),
    )
    op.create_index("item_given", "item", ["review", "given", "state", "id"])
    op.create_index("item_pair", "item", ["review", "given", "suggested", "state", "id"])
    op.create_index("item_score", "item", ["review", "state", "score", "id"])
    op.create_index("item_state", "item", ["review", "state", "id"])
    op.create_index("item_suggested", "item", ["review", "suggested", "state", "id"])
    op.create_table(
        "reading",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("reader", sa.Integer(), sa.ForeignKey("reader.id"), primary_key=True),
        sa.Column("item", sa.Integer(), primary_key=True),
        sa.Column("revealed", sa.Boolean(), nullable=False),
        sa.Column("handled", sa.Boolean(), nullable=False),
    )
    op.create_index("reading_item", "reading", ["review", "item"])
    op.create_table(
        "tally",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer(), nullable=False),
    )
    op.create_table(
        "version",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "verdict",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Integer(), sa.ForeignKey("reader.id"), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("software", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("withdraws", sa.Integer()),
        sa.Column("token", sa.String(100), nullable=False),
        sa.ForeignKeyConstraint(["review", "item"], ["item.review", "item.id"]),
        sa.UniqueConstraint("review", "reader", "token", name="verdict_token"),
        sa.UniqueConstraint("review", "withdraws", name="verdict_withdraws"),
    )
    op.create_index("verdict_item", "verdict", ["review", "item", "number"])
    op.create_index("verdict_reader", "verdict", ["review", "reader", "number"])

"""Which reader is to read which item."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table `assignment`."""
    op.create_table(
        "assignment",
        sa.Column("review", sa.Integer(), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("reader", sa.Integer(), sa.ForeignKey("reader.id"), primary_key=True),
        sa.Column("item", sa.Integer(), primary_key=True),
    )
    op.create_index("assignment_item", "assignment", ["review", "item"])

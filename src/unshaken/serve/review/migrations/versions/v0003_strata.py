"""How the items of a review were drawn: the size of each stratum, and the stratum of each item."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; they are empty in reviews that were begun before."""
    op.add_column("review", sa.Column("strata", sa.Text()))
    op.add_column("item", sa.Column("stratum", sa.SmallInteger()))

"""The store of reviews: what people said of labels, in SQLite or PostgreSQL, appended and never overwritten."""

from unshaken.core.extras import need

for _module in ("sqlalchemy", "alembic"):
    need(_module, _module, "serve", "a review")

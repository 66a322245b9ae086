"""Alembic migrations of the store of reviews, run when a store is opened."""

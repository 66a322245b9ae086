"""The store of reviews: what people said of labels, in SQLite or PostgreSQL, appended and never overwritten."""

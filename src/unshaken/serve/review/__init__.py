"""The store of reviews: people's verdicts on labels, in SQLite or PostgreSQL, appended and never overwritten."""

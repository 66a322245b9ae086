"""Data sets as they are: the health of one, and how two differ."""

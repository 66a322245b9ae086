"""How near images are to their references."""

"""Figures with intervals from what was read; each function gives a part of `summary.json` or the geometry of a plot."""

"""Exhaustive search of small regions, with a solver."""

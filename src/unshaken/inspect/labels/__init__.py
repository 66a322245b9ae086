"""Checks of labels: their balance, and whether something else than the object gives them away."""

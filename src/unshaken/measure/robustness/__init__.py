"""Accuracy, and how it falls under corruption, attack and shift."""

"""Accuracy under a natural shift of the data, against a line of baseline models."""

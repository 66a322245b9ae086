"""Prediction sets of a classifier, with and without a shift."""

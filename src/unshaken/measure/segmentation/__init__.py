"""Measures of masks: a class for each pixel."""

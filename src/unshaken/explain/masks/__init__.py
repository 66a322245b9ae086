"""Masks of objects, made from what a model looks at."""

"""Load a classifier from a SPEC: one file per kind of model."""

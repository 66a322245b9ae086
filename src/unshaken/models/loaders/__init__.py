"""Load a classifier from a SPEC: one file for each kind of model."""

"""From a SPEC to a classifier: one file a kind of model."""

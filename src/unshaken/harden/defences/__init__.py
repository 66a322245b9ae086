"""Defences at inference: they change the input or the answer, and no weights."""

"""Certified inference by crop selection."""

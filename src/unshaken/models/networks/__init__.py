"""Architectures without weights."""

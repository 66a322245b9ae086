"""Moves of the camera."""

"""Textures that are made: planes with a known period, and cuts of them that repeat or do not."""

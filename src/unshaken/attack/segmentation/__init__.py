"""Searches against models that give a class for each pixel."""

"""Recipes that train several networks together."""

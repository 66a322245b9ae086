"""Recipes that train without labels first."""

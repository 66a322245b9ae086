"""Recipes that change what is minimised."""

"""Recipes that average, perturb or hold back the weights."""

"""Training recipes, each one idea of a publication."""

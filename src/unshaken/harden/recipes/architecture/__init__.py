"""Recipes that change a layer of the network."""

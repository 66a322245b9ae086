"""Recipes that change the training images."""

"""Recipes that train on adversarial examples."""

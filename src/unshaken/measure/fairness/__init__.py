"""Fairness indicators: how rates of an outcome differ between groups of images, whatever the model."""

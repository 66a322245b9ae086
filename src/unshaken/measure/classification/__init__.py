"""Accuracy where an image has several valid labels."""

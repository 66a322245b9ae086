"""Attacks that look for the nearest adversarial example."""

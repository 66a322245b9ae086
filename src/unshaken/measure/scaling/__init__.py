"""Scaling laws: how a loss falls with the number of training images."""

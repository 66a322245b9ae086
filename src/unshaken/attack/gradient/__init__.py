"""Attacks that follow the gradient under one budget."""

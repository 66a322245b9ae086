"""Randomised smoothing: votes under noise, and what they guarantee."""

"""Interval and linear bounds on what a network can answer inside a box."""

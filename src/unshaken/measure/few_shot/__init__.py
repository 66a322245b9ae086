"""Figures of episodes: accuracy with an interval over episodes and classes."""

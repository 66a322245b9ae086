"""The frame of experiments."""

from unshaken.papers.frame.paper import Check, Paper, seeds_in

__all__ = ["Check", "Paper", "seeds_in"]

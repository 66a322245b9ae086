"""Figures, intervals and paired comparison."""

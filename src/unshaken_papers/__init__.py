"""Rows of `unshaken papers`: a folder each, with its claim, experiment, figures, kept result and page."""

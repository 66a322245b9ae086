"""Measures of written texts: how alike their topics are, and how much they repeat themselves."""

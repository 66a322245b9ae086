"""Kinds of page, a file each: a title and an ordered list of sections, functions from what was read to blocks."""

"""Edits of one attribute at a time: size, position and direction of the object, and what is behind it."""

"""Watermarks: marking images, finding marks, and attacks on both."""

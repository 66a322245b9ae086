"""Checks of images that occur more than once, within a set and across sets."""

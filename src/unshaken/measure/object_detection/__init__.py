"""Figures of object detectors: boxes matched with objects, average precision with intervals."""

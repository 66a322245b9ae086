"""Attacks that change some pixels freely and leave the others."""

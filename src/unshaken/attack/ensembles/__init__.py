"""Attacks that run other attacks, one after the other."""

"""Attacks that need scores or labels alone."""

"""Attacks that are bounded by what an image still shows: by the answer of an oracle, not by a norm."""

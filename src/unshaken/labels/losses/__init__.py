"""Losses that wrong labels disturb less than cross-entropy, as functions of logits."""

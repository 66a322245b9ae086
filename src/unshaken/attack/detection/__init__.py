"""Attacks on detectors of objects: objects vanish, appear, change their class or place."""

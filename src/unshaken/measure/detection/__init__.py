"""Figures of detectors, thresholds and moderation."""

"""Detectors of unsafe content, and policies."""

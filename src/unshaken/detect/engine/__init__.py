"""The engine of all detectors: fitting, screening, thresholds, export, and attacks on them."""

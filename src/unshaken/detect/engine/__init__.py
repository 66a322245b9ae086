"""What all detectors share: fitting, screening, thresholds, export, and attacks on them."""

"""Labels that are corrected: by people, or by training."""

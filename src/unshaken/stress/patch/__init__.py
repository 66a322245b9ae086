"""Changes to single patches of an image."""

"""What all attribution methods share: the score explained, points and masks, layers, and the run."""

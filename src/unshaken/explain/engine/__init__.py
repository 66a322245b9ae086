"""Code shared by all attribution methods: the score explained, points and masks, layers, and the run."""

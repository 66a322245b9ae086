"""What checks share: a decoded image, the pass over a data set, hashes, and the base of checks."""

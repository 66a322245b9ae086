"""Code shared by finders: probabilities in blocks, the evidence that they are given, and confident counts."""

"""What finders share: probabilities in blocks, the evidence that they are given, and confident counts."""

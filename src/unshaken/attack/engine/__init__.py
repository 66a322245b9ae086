"""What all attacks share: the budget, the problem, stages, and the verdict on what they find."""

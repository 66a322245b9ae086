"""The engine of all attacks: budget, problem, phases, and verification of their results."""

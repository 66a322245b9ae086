"""The base of stressors and the functions that they share."""

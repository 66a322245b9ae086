"""Weights of convolutions: their kernels layer by layer, and their distributions between models."""

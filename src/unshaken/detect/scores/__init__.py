"""Scores of abnormality from a model's logits, features and gradients."""

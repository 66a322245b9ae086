"""How the perceptrons of the experiment with verification are trained."""

from __future__ import annotations

from collections.abc import Mapping

DIGITS: Mapping[str, float] = {"width": 16, "epochs": 60, "lr": 3e-3, "batch_size": 64, "eps": 0.1}
OTHERS: Mapping[str, float] = {"width": 20, "epochs": 8, "lr": 1e-3, "batch_size": 128, "eps": 0.05}
"""Hidden units, training, and the linf radius of adversarial training; at a larger one the 20 units learn nothing."""

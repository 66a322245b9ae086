"""Monitors: warn of overfitting during training."""

from __future__ import annotations

import math
from collections.abc import Sequence

CATASTROPHIC_DROP = 0.2
ROBUST_DROP = 0.02


def catastrophic_overfitting(curves: Sequence[dict[str, float]]) -> str | None:
    """A net that single steps no longer fool, while several do, from one check to the next.

    It is seen when accuracy under PGD on training images falls more than 20 points below its best, or below half of it,
    while accuracy under FGSM lies 20 points or more above it.

    Args:
        curves: one record a check, with `epoch`, `train_fgsm` and `train_robust`.

    Returns:
        One line for a person, or None.

    Source:
        Wong et al. 2020, arXiv:2001.03994.
    """
    seen = [c for c in curves if "train_robust" in c]
    if len(seen) < 2:
        return None
    now, best = seen[-1], max(c["train_robust"] for c in seen)
    gap = now["train_fgsm"] - now["train_robust"]
    if now["train_robust"] >= max(best - CATASTROPHIC_DROP, best / 2) or gap < CATASTROPHIC_DROP:
        return None
    return (
        f"catastrophic overfitting at epoch {now['epoch'] + 1:.0f}: on training images {now['train_fgsm']:.1%} "
        f"withstand FGSM but {now['train_robust']:.1%} PGD (best {best:.1%}); take n-fgsm, gradalign, or several steps "
        "(at)"
    )


def robust_overfitting(curves: Sequence[dict[str, float]]) -> str | None:
    """Held-out robust accuracy that falls while robust accuracy on training images goes on rising.

    A fall counts when it is more than 2 points and more than twice its standard error.

    Args:
        curves: one record a check, with `epoch`, `held_robust`, `held_attacked` and `train_robust`.

    Returns:
        One line for a person, or None.

    Source:
        Rice et al. 2020, arXiv:2002.11569.
    """
    seen = [c for c in curves if "held_robust" in c]
    if len(seen) < 3:
        return None
    top = max(seen, key=lambda c: c["held_robust"])
    now = seen[-1]
    last = sum(c["held_robust"] for c in seen[-2:]) / 2  # one check alone is noise
    error = math.sqrt(2 * last * (1 - last) / now["held_attacked"])
    if last > top["held_robust"] - max(ROBUST_DROP, 2 * error) or now["train_robust"] <= top["train_robust"]:
        return None
    return (
        f"robust overfitting at epoch {now['epoch'] + 1:.0f}: held-out robust accuracy fell from "
        f"{top['held_robust']:.1%} (epoch {top['epoch'] + 1:.0f}) to {now['held_robust']:.1%} while on training "
        f"images it rose to {now['train_robust']:.1%}; the checkpoint of the best epoch is kept; take awp or ema, "
        "or fewer epochs"
    )


MONITORS = {"catastrophic-overfitting": catastrophic_overfitting, "robust-overfitting": robust_overfitting}
"""Flag name to monitor."""

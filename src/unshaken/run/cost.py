"""The cost of a run before it starts: passes a sample at most, and a warning where they would take long."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import RunWarning
from unshaken.run.plan import Step

LONG = 3600.0
"""Seconds; a plan whose methods may together need more is announced before it starts."""
UNITS = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


class LongRunWarning(RunWarning):
    """A run may take longer than `LONG`; it starts all the same."""


def condition_weights(steps: Sequence[Step], classes: int) -> dict[str, float]:
    """The cost of each condition, as the passes that it spends on a sample at most; 1 where nothing is known.

    Args:
        steps: of the plan.
        classes: K of the model.

    Returns:
        Condition id to passes; the conditions of one step share its cost evenly.
    """
    weights: dict[str, float] = {}
    for step in steps:
        most = passes_of(step, classes)
        shared = max(1.0, 0.0 if most is None else most / max(1, len(step.conditions)))
        weights |= {condition.id: shared for condition in step.conditions}
    return weights


def passes_of(step: Step, classes: int) -> int | None:
    """Forward and backward passes that a step spends on a sample at most; None where its method does not say."""
    most: Callable[[int], int | None] | None = getattr(step.method, "most_passes", None)
    found = None if most is None else most(classes)
    if found is None:
        return None
    return found if getattr(step.method, "minimal", False) else found * len(step.conditions)


def seconds_a_pass(model: Classifier, images: Tensor) -> float:
    """Wall time of one image's forward pass; the model has run before, so that nothing is set up meanwhile.

    Args:
        model: on the device of the images.
        images: `[N, C, H, W]`, at least one.
    """
    with evaluating(model), torch.no_grad():
        began = time.perf_counter()
        model(images)
        if images.device.type != "cpu":
            torch.accelerator.synchronize(images.device)
        return (time.perf_counter() - began) / len(images)


def warn_if_long(steps: Sequence[Step], classes: int, samples: int, seconds: float) -> None:
    """Warn where a plan may take longer than `LONG`.

    Args:
        steps: of the plan.
        classes: K of the model.
        samples: of the run.
        seconds: of one pass.
    """
    known = [(most, step.label) for step in steps if (most := passes_of(step, classes)) is not None]
    total = sum(most for most, _ in known) * samples * seconds
    if total > LONG:
        most, label = max(known)
        others = f", other methods {sum(m for m, _ in known) - most:,}" if len(known) > 1 else ""
        pace = f"{samples:,} samples at about {seconds * 1e3:.2g} ms a pass"
        warnings.warn(
            f"{label} needs up to {most:,} passes a sample{others}; {pace} are up to {duration(total)}; fewer steps or "
            "--limit make it shorter",
            LongRunWarning,
            stacklevel=2,
        )


def duration(seconds: float) -> str:
    """A time in its largest whole unit.

    >>> duration(35.2 * 86400), duration(90 * 60), duration(20)
    ('35 days', '90 minutes', '20 seconds')
    """
    name, unit = next((name, unit) for name, unit in UNITS if seconds >= 2 * unit or unit == 1)
    return f"{seconds / unit:,.0f} {name}"

"""Probabilities changed before they are ranked: less each class's threshold, or at another temperature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unshaken.labels.engine.confident_joint import class_thresholds
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.summary import Summary
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.measure.statistics.columns import Numbers

FITTED = 10_000
"""Samples on which a temperature is fitted."""
LEAST = 1e-12
"""Probability that a smaller one is taken for, where its logarithm is used."""


def adjusted_summary(evidence: Evidence) -> Summary:
    """The summary of `(p - t + max t) / sum`, with `t` the mean probability of each class where it is given.

    What a class of few samples is usually given counts for more.

    Args:
        evidence: with probabilities; one more pass over them.
    """
    thresholds = class_thresholds(evidence.summary().own, evidence.labels, evidence.classes)
    return _changed_summary(evidence, lambda p: p - thresholds + thresholds.max())


def tempered_summary(evidence: Evidence, temperature: float) -> Summary:
    """The summary of `p^(1/T) / sum`, as softmax at the temperature T gives it.

    Args:
        evidence: with probabilities; one more pass over them.
        temperature: above 1 for a model that is surer than it is right.
    """
    return _changed_summary(evidence, lambda p: p ** (1 / temperature))


def likeliest_temperature(evidence: Evidence) -> float:
    """The temperature at which the given labels are likeliest, on at most `FITTED` samples, evenly spaced.

    Args:
        evidence: with probabilities, all of which have been read before.
    """
    n = len(evidence)
    rows = np.unique(np.linspace(0, n - 1, min(n, FITTED)).astype(np.int64))
    logits = np.log(np.maximum(evidence.need_probabilities().rows(rows), LEAST))
    return fit_temperature(logits, evidence.labels[rows]).value


def _changed_summary(evidence: Evidence, change: Callable[[Numbers], Numbers]) -> Summary:
    own, other = np.empty(len(evidence)), np.empty(len(evidence))
    best = np.empty(len(evidence), np.int64)
    for part, p in evidence.need_probabilities().blocks():
        rows, given, changed = np.arange(len(p)), evidence.labels[part], change(p)
        changed = changed / changed.sum(1, keepdims=True)
        own[part], best[part] = changed[rows, given], changed.argmax(1)
        changed[rows, given] = -np.inf
        other[part] = changed.max(1)
    return Summary(own, other, best)

"""Probabilities less each class's threshold: what a class of few samples is usually given counts for more."""

from __future__ import annotations

import numpy as np

from unshaken.labels.engine.confident_joint import class_thresholds
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.summary import Summary


def adjusted_summary(evidence: Evidence) -> Summary:
    """The summary of `(p - t + max t) / sum`, with `t` the mean probability of each class where it is given.

    Args:
        evidence: with probabilities; one more pass over them.
    """
    probabilities, labels = evidence.need_probabilities(), evidence.labels
    thresholds = class_thresholds(evidence.summary().own, labels, evidence.classes)
    own, other = np.empty(len(labels)), np.empty(len(labels))
    best = np.empty(len(labels), np.int64)
    for part, p in probabilities.blocks():
        rows, given = np.arange(len(p)), labels[part]
        p = p - thresholds + thresholds.max()
        p /= p.sum(1, keepdims=True)
        own[part], best[part] = p[rows, given], p.argmax(1)
        p[rows, given] = -np.inf
        other[part] = p.max(1)
    return Summary(own, other, best)

"""Tracking services that a run may be logged to: MLflow, Weights & Biases, TensorBoard; each imported when used."""

from unshaken.store.address import bare
from unshaken.store.tracking.sink import Registration, Sink, reason
from unshaken.store.tracking.sinks import sink_of
from unshaken.store.tracking.tracker import NAME, RunTracker, metrics_of

__all__ = ["NAME", "Registration", "RunTracker", "Sink", "bare", "metrics_of", "reason", "sink_of"]

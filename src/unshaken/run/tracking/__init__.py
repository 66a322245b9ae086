"""Tracking services that a run may be logged to: MLflow, Weights & Biases, TensorBoard; each imported when used."""

from unshaken.core.addresses import bare
from unshaken.run.tracking.metrics import metrics_of
from unshaken.run.tracking.sink import Registration, Sink, reason
from unshaken.run.tracking.sinks import sink_of
from unshaken.run.tracking.tracker import NAME, RunTracker

__all__ = ["NAME", "Registration", "RunTracker", "Sink", "bare", "metrics_of", "reason", "sink_of"]

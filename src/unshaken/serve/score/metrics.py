"""`Metrics`: what Prometheus reads of a score endpoint."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from unshaken.serve.score.answers import Answers

PREFIX = "unshaken_score"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MOST_CLASSES = 1000
"""Classes that are counted each by itself; further ones are counted together, as a time series each costs memory."""


class Metrics:
    """Counters and gauges in a registry of their own.

    Args:
        admitted: gives the passes of admitted requests.
        rate: gives the passes a second.
    """

    def __init__(self, admitted: Callable[[], float], rate: Callable[[], float]) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(f"{PREFIX}_requests", "Requests by status of the answer.", ["status"], registry=own)
        self.seconds = Histogram(
            f"{PREFIX}_request_seconds", "Seconds from a request to its answer.", buckets=SECONDS, registry=own
        )
        self.images = Counter(f"{PREFIX}_images", "Images that were scored.", registry=own)
        self.unusable = Counter(f"{PREFIX}_unusable_images", "Images that could not be scored.", registry=own)
        self.classes = Counter(f"{PREFIX}_predictions", "Images by predicted class.", ["class"], registry=own)
        self.rejected = Counter(
            f"{PREFIX}_rejected_images", "Images that each detector does not accept.", ["detector"], registry=own
        )
        self.batches = Histogram(f"{PREFIX}_batch_images", "Images in one pass.", buckets=IMAGES, registry=own)
        self.passes = Counter(f"{PREFIX}_model_seconds", "Seconds in the model's passes.", registry=own)
        self.windows = Gauge(f"{PREFIX}_stored_windows", "Windows of the history that are stored.", registry=own)
        for name, text, value in (
            ("admitted_passes", "Passes of the model that are admitted.", admitted),
            ("passes_per_second", "Passes of the model a second, of late.", rate),
        ):
            Gauge(f"{PREFIX}_{name}", text, registry=own).set_function(value)

    def add_batch(self, images: int, passes: int, seconds: float) -> None:
        """Count a batch of the model."""
        self.batches.observe(images)
        self.passes.inc(seconds)

    def add_answers(self, answers: Answers | None, unusable: int) -> None:
        """Count the images of a request."""
        self.unusable.inc(unusable)
        if answers is None:
            return
        self.images.inc(len(answers))
        for number in answers.predictions.tolist():
            self.classes.labels(str(number) if number < MOST_CLASSES else "other").inc()
        for label, found in answers.detected.items():
            self.rejected.labels(label).inc(int((~found.accepted).sum()))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)

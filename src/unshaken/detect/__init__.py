"""Detectors of abnormal inputs: scores, thresholds and screening; a higher score is more abnormal."""

from unshaken.core.room import open_room
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.export import ExportResult, export
from unshaken.detect.engine.fitting import Fit, Shares, fit
from unshaken.detect.engine.guard import guard
from unshaken.detect.engine.latency import Latency, latency

__all__ = [
    *open_room(__name__),  # pyright: ignore[reportUnsupportedDunderAll]
    "Detector",
    "DetectorSet",
    "ExportResult",
    "Fit",
    "Latency",
    "Shares",
    "export",
    "fit",
    "guard",
    "latency",
]

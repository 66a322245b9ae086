"""Detectors of abnormal inputs: scores, thresholds and screening; a higher score is more abnormal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of
from unshaken.core.room import open_room

if TYPE_CHECKING:
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

_HOMES = {
    "Detector": "unshaken.detect.engine.base",
    "DetectorSet": "unshaken.detect.engine.detector_set",
    "ExportResult": "unshaken.detect.engine.export",
    "Fit": "unshaken.detect.engine.fitting",
    "Latency": "unshaken.detect.engine.latency",
    "Shares": "unshaken.detect.engine.fitting",
    "export": "unshaken.detect.engine.export",
    "fit": "unshaken.detect.engine.fitting",
    "guard": "unshaken.detect.engine.guard",
    "latency": "unshaken.detect.engine.latency",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)

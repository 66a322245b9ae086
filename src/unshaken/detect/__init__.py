"""At the door: how abnormal an input is for a model, all scores in one pass; higher is more abnormal."""

from unshaken.core.room import open_room
from unshaken.detect.base import Detector
from unshaken.detect.door import Door
from unshaken.detect.export import Exported, export
from unshaken.detect.fitting import Fit, Shares, fit
from unshaken.detect.guard import guard
from unshaken.detect.latency import Latency, latency

_METHODS = open_room(__name__, __path__, verb="detect")
__all__ = [
    *_METHODS,  # pyright: ignore[reportUnsupportedDunderAll]
    "Detector",
    "Door",
    "Exported",
    "Fit",
    "Latency",
    "Shares",
    "export",
    "fit",
    "guard",
    "latency",
]

"""Detectors of abnormal inputs: scores, thresholds and screening; a higher score is more abnormal."""

from unshaken.core.package import open_room

open_room(__name__)

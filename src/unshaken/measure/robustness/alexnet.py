"""AlexNet's errors on ImageNet-C, the unit in which mCE is counted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BENCHMARK = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions of mCE, in the authors' order."""

VALIDATION = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The 4 corruptions held out for tuning; not part of mCE."""

ALEXNET_ERROR: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
        "speckle_noise": 0.845388,
        "gaussian_blur": 0.787108,
        "spatter": 0.717512,
        "saturate": 0.658248,
    }
)
"""AlexNet's top-1 error on each corruption, the mean of severities 1 to 5 (Hendrycks & Dietterich 2019)."""

ALEXNET_CLEAN_ERROR = 0.435
"""AlexNet's top-1 error on the clean images, as the authors use it for relative mCE."""

SEVERITIES = (1, 2, 3, 4, 5)
"""The severities that `ALEXNET_ERROR` is the mean of."""

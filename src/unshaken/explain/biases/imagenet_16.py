"""The sixteen everyday categories that Geirhos et al. sort ImageNet's classes into."""

from __future__ import annotations

from collections.abc import Mapping

_RANGES: Mapping[str, str] = {
    "airplane": "404",
    "bear": "294-297",
    "bicycle": "444 671",
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",
    "boat": "472 554 625 814 914",
    "bottle": "440 720 737 898-899 901 907",
    "car": "436 511 817",
    "cat": "281-286",
    "chair": "423 559 765 857",
    "clock": "409 530 892",
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",
    "elephant": "385-386",
    "keyboard": "508 878",
    "knife": "499",
    "oven": "766",
    "truck": "555 569 656 675 717 734 864 867",
}
CLASSES = 1000
"""Classes that the numbers below count."""


def _numbers(ranges: str) -> tuple[int, ...]:
    ends = (part.partition("-") for part in ranges.split())
    return tuple(i for low, _, high in ends for i in range(int(low), int(high or low) + 1))


IMAGENET_16: Mapping[str, tuple[int, ...]] = {name: _numbers(ranges) for name, ranges in _RANGES.items()}
"""Category to the places of its classes among ImageNet's thousand; 207 in all. Source: arXiv:1811.12231, appendix."""

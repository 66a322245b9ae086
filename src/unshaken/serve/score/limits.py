"""`Limits`: how much one request, one caller and the queue may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused, and when.

    Args:
        bytes: of a request's body.
        images: in a request.
        pixels: of one image, by its header, before any of them is decoded.
        passes: further forward passes that the checks of one request may need; 0 for no checks.
        waiting: passes of the model that may wait; what comes beyond is answered 429.
        seconds: from a request's arrival to its deadline, where it names none.
        reading: seconds that a request's body may take to arrive.
        per_minute: requests of one caller in a minute; None for any number.
    """

    bytes: int = 16 << 20
    images: int = 64
    pixels: int = 25_000_000
    passes: int = 2_000
    waiting: int = 512
    seconds: float = 30.0
    reading: float = 30.0
    per_minute: int | None = None

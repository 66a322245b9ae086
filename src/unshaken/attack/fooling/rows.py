"""Rows of fooling images: one a class, with the doubts that they raise about the model."""

from __future__ import annotations

from collections.abc import Sequence

from unshaken.attack.fooling.base import FoolingImages
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

FOOLING = declare_table(
    "fooling",
    "id string, condition string, method string, class int64, name string, confidence double, log_odds double, "
    "found int64, file string, error string",
)
SURE = 0.99
"""Confidence from which an image counts as fooling."""
FOOLED = FlagKind(
    "confident-on-nonsense",
    "the model is nearly certain of images that mean nothing to a person",
    "Do not read confidence as evidence that an image shows a class; screen inputs with a detector of abnormal images.",
)


def fooling_rows(condition: Condition, found: FoolingImages, classes: Sequence[int], names: Sequence[str]) -> Part:
    """The `fooling` rows of a search, with its flags.

    Args:
        condition: the search.
        found: its images.
        classes: the class of each.
        names: of the model's classes; numbers stand for those that are not named.
    """
    ids = [f"class-{c:04d}" for c in classes]
    confidence = widen(found.odds).sigmoid().tolist()
    columns = {
        "id": ids,
        "class": list(classes),
        "name": [names[c] if c < len(names) else str(c) for c in classes],
        "confidence": confidence,
        "log_odds": widen(found.odds).tolist(),
        "found": found.found.tolist(),
        "file": [f"{name}.png" for name in ids],
    }
    return Part("fooling", condition, columns, flags=_flags(condition, ids, confidence))


def _flags(condition: Condition, ids: Sequence[str], confidence: Sequence[float]) -> tuple[Flag, ...]:
    sure = [name for name, value in zip(ids, confidence, strict=True) if value >= SURE]
    if not sure:
        return ()
    text = f"{condition.method}: {len(sure)} of {len(ids)} classes have a meaningless image at {SURE:.0%} or more"
    return (FOOLED.flag(text, sure),)

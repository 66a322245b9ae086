"""Wrong labels: methods that find them, how many there are, and labels that people have settled."""

from unshaken.core.room import open_room
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.finder import Finder, LabelScores
from unshaken.labels.engine.probabilities import Probabilities

__all__ = [*open_room(__name__), "Evidence", "Finder", "LabelScores", "Probabilities"]  # pyright: ignore[reportUnsupportedDunderAll]

"""Wrong labels: methods that find them, how many there are, and labels that people have settled."""

from unshaken.core.room import open_room
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.labels.find.boxes import ImageBoxes, find_boxes
from unshaken.labels.find.masks import find_masks
from unshaken.labels.find.multi_label import find_multi_label

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    *open_room(__name__),
    "Evidence",
    "Finder",
    "ImageBoxes",
    "LabelScores",
    "Probabilities",
    "estimate_wrong",
    "find_boxes",
    "find_labels",
    "find_masks",
    "find_multi_label",
]

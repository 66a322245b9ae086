"""Classes from few examples, on features of a network that is not trained any more."""

from unshaken.tasks.few_shot.episodes import (
    Episodes,
    draw_episodes,
    knn_scores,
    prototype_scores,
    run_episodes,
)
from unshaken.tasks.few_shot.extend import add_classes, head_of
from unshaken.tasks.few_shot.head import PrototypeHead, load_head

__all__ = [
    "Episodes",
    "PrototypeHead",
    "add_classes",
    "draw_episodes",
    "head_of",
    "knn_scores",
    "load_head",
    "prototype_scores",
    "run_episodes",
]

"""Images that mean nothing to a person and that a network labels with near-certainty: by ascent and by evolution.

Nguyen, Yosinski & Clune 2015, arXiv:1412.1897. The parts work on any model: put it behind `unshaken.core.Oracle`.
"""

from unshaken.attack.fooling.ascent import Ascent, AscentResult, ascend, random_ascents
from unshaken.attack.fooling.confidence import confidence, log_odds
from unshaken.attack.fooling.cppn import Cppn
from unshaken.attack.fooling.direct import Direct
from unshaken.attack.fooling.map_elites import Archive, EvolutionResult, Generation, MapElites, map_elites

__all__ = [
    "Archive",
    "Ascent",
    "AscentResult",
    "Cppn",
    "Direct",
    "EvolutionResult",
    "Generation",
    "MapElites",
    "ascend",
    "confidence",
    "log_odds",
    "map_elites",
    "random_ascents",
]

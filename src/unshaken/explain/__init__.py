"""Why a model decides as it does: maps of the pixels that count, and what such a map is worth."""

from unshaken.core.room import open_room
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.compare_maps import MapValues, compare_methods, compare_models, map_agreement, summarise
from unshaken.explain.engine.metric import Case, MapMetric, MapScores, make_case
from unshaken.explain.engine.run import AttributionResult, attribute

__all__ = [
    *open_room(__name__),  # pyright: ignore[reportUnsupportedDunderAll]
    "Analysis",
    "Attribution",
    "AttributionResult",
    "Case",
    "Findings",
    "MapMetric",
    "MapScores",
    "MapValues",
    "Subject",
    "attribute",
    "compare_methods",
    "compare_models",
    "make_case",
    "map_agreement",
    "summarise",
]

"""The few types of the package, the registry, the driver, errors, progress and randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.core.batch import Batch
    from unshaken.core.classifier import Classifier, View
    from unshaken.core.consent import allow_code
    from unshaken.core.driver import Outcome, Search, drive
    from unshaken.core.errors import UnshakenError
    from unshaken.core.oracle import Oracle
    from unshaken.core.query import Answer, Features, Gradient, Labels, Logits, Query, Slopes, Votes
    from unshaken.core.registry import Method, Parameters, list_methods, register
    from unshaken.core.rng import SampleRng
    from unshaken.core.state import State

__all__ = [
    "Answer",
    "Batch",
    "Classifier",
    "Features",
    "Gradient",
    "Labels",
    "Logits",
    "Method",
    "Oracle",
    "Outcome",
    "Parameters",
    "Query",
    "SampleRng",
    "Search",
    "Slopes",
    "State",
    "UnshakenError",
    "View",
    "Votes",
    "allow_code",
    "drive",
    "list_methods",
    "register",
]

_HOMES = {
    "Batch": "unshaken.core.batch",
    "Classifier": "unshaken.core.classifier",
    "View": "unshaken.core.classifier",
    "allow_code": "unshaken.core.consent",
    "Outcome": "unshaken.core.driver",
    "drive": "unshaken.core.driver",
    "UnshakenError": "unshaken.core.errors",
    "Oracle": "unshaken.core.oracle",
    "Answer": "unshaken.core.query",
    "Features": "unshaken.core.query",
    "Gradient": "unshaken.core.query",
    "Labels": "unshaken.core.query",
    "Logits": "unshaken.core.query",
    "Query": "unshaken.core.query",
    "Slopes": "unshaken.core.query",
    "Votes": "unshaken.core.query",
    "Method": "unshaken.core.registry",
    "Parameters": "unshaken.core.registry",
    "list_methods": "unshaken.core.registry",
    "register": "unshaken.core.registry",
    "SampleRng": "unshaken.core.rng",
    "Search": "unshaken.core.driver",
    "State": "unshaken.core.state",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the registry and the command line's help need no torch."""
    return attribute_of(__name__, name, _HOMES)

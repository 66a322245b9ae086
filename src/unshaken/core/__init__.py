"""The language of the house: the few types, the registry, the driver, errors, progress and randomness."""

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.driver import Outcome, drive
from unshaken.core.errors import UnshakenError
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer, Features, Gradient, Labels, Logits, Query, Slopes, Votes
from unshaken.core.registry import Method, Parameters, list_methods, register
from unshaken.core.rng import SampleRng
from unshaken.core.search import Search
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
    "drive",
    "list_methods",
    "register",
]

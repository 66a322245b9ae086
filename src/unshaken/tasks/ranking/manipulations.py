"""Changes of a document that should lift it: the query's words or the first document's sentences put into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.tasks.ranking.words import split_words

Manipulate = Callable[[str, str, str, int], str]
"""From document, query, the text of the first document, and a number of times, to the changed document."""


def append_query(document: str, query: str, first: str, times: int) -> str:
    """The query's words behind the document.

    >>> append_query("A bird.", "the wing", "", 2)
    'A bird. wing wing'
    """
    return " ".join([document, *split_words(query) * times])


def prepend_query(document: str, query: str, first: str, times: int) -> str:
    """The query's words before the document."""
    return " ".join([*split_words(query) * times, document])


def copy_first(document: str, query: str, first: str, times: int) -> str:
    """The text of the document that the ranker puts first, behind the document."""
    return " ".join([document, *[first] * times])


def keep_document(document: str, query: str, first: str, times: int) -> str:
    """The document as it is, for control."""
    return document


MANIPULATIONS: Mapping[str, Manipulate] = {
    "append": append_query, "prepend": prepend_query, "copy-first": copy_first, "none": keep_document
}  # fmt: skip
"""Name to a change of a document."""


def find_manipulation(name: str) -> Manipulate:
    """The change of that name.

    Raises:
        ParameterError: there is none.
    """
    if name not in MANIPULATIONS:
        raise ParameterError(f"there is no change of documents {name!r}; {did_you_mean(name, MANIPULATIONS)}")
    return MANIPULATIONS[name]

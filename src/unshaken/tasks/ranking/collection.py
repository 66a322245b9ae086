"""`Collection`: documents, queries and relevance judgements that belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.tasks.ranking.words import WORD

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to grade: above 0 is relevant."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What rankers are evaluated on.

    Args:
        documents: id to text.
        queries: id to text.
        qrels: query id to document id to grade; a grade of 0 or less is not relevant. Documents that it does not name
            are unjudged and count as not relevant.
        types: query id to its type, such as a part of speech, for the task of unseen query types.

    Raises:
        DataError: there is no document or query, a query has no word, no relevant document or no judgements, or
            judgements or types name what is not there. A document may be empty, as some of Cranfield's are.
    """

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Qrels
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, texts in (("document", self.documents), ("query", self.queries)):
            if not texts:
                raise DataError(f"the collection has no {what}")
            for name, text in texts.items():
                if not isinstance(name, str) or not isinstance(text, str):
                    raise DataError(f"{what} {name!r}: ids and texts must be strings, not {_kinds(name, text)}")
            _refuse((i for i in texts if not i or i.split() != [i]), f"{what} ids that are empty or hold space")
        _refuse((i for i, text in self.queries.items() if not WORD.search(text)), "queries without a word")
        _refuse(self.qrels.keys() - self.queries.keys(), "judged queries that are not among the queries")
        _refuse(self.types.keys() - self.queries.keys(), "types of queries that are not among the queries")
        if self.types:
            _refuse(self.queries.keys() - self.types.keys(), "queries without a type, where others have one")
        _refuse({d for grades in self.qrels.values() for d in grades} - self.documents.keys(), "judged documents that "
                "are not among the documents")  # fmt: skip
        _refuse((q for q in self.queries if not any(g > 0 for g in self.qrels.get(q, {}).values())), "queries without "
                "a relevant document")  # fmt: skip

    def select(self, queries: Iterable[str]) -> Collection:
        """The same documents with some of the queries, in the order given.

        Raises:
            DataError: none is left.
        """
        ids = list(queries)
        return replace(
            self, queries={i: self.queries[i] for i in ids}, qrels={i: self.qrels[i] for i in ids},
            types={i: self.types[i] for i in ids if i in self.types},
        )  # fmt: skip


def _kinds(name: object, text: object) -> str:
    return f"{type(name).__name__} and {type(text).__name__}"


def _refuse(ids: Iterable[str], what: str) -> None:
    """Refuse a collection with such ids, naming the first of them."""
    found = sorted(ids)
    if found:
        raise DataError(f"the collection has {what}: {len(found)}, the first {shorten(found[0])}; correct or drop them")

"""`Collection`: documents, queries and relevance judgements, read from files of TREC or from WordNet."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from unshaken.core.documents import read_text
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.core.texts import printable
from unshaken.store.run_dir import RunDir
from unshaken.tasks.ranking.order import Qrels, Ranking, sort_by_score
from unshaken.tasks.ranking.words import WORD


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, queries and relevance judgements that rankers are evaluated on.

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
                    raise DataError(f"{what} {name!r}: ids and texts must be strings, not "
                                    f"{type(name).__name__} and {type(text).__name__}")  # fmt: skip
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
        """A collection of the same documents with some of the queries, in the order given.

        Raises:
            DataError: none is left.
        """
        ids = list(queries)
        return replace(
            self, queries={i: self.queries[i] for i in ids}, qrels={i: self.qrels[i] for i in ids},
            types={i: self.types[i] for i in ids if i in self.types},
        )  # fmt: skip


def _refuse(ids: Iterable[str], what: str) -> None:
    """Refuse a collection with such ids, naming the first of them."""
    found = sorted(ids)
    if found:
        raise DataError(f"the collection has {what}: {len(found)}, the first {shorten(found[0])}; correct or drop them")


V = TypeVar("V")
LARGEST_FILE = 1 << 30
"""Bytes of a file of runs, judgements or texts."""
MAX_GRADE = 100
_SCORE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LARGEST_SCORE = 3.4e38


def read_qrels(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Relevance judgements: lines `query iteration document grade`.

    Args:
        path: of the file; empty lines are skipped.

    Returns:
        Query id to document id to grade; a grade of 0 or less means that the document is not relevant.

    Raises:
        DataError: the file cannot be read, a line has not four columns, a grade is no whole number from -100 to 100, a
            pair is judged twice, or nothing is judged.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, columns in _columns(path, 4, "query iteration document grade"):
        query, _, document, grade = columns
        try:
            value = parse_whole(grade, least=-MAX_GRADE, most=MAX_GRADE)
        except ParameterError as error:
            raise DataError(f"{place}: the grade {error}") from None
        _enter(qrels.setdefault(query, {}), document, value, place, query)
    return qrels


def read_run(path: str | os.PathLike[str]) -> dict[str, Ranking]:
    """A run: lines `query Q0 document rank score name`.

    As in trec_eval the score decides, in float32, and the column `rank` is not read beyond that it is a number; of
    equal scores the document with the larger id is first.

    Args:
        path: of the file; empty lines are skipped.

    Returns:
        Query id to its documents in order.

    Raises:
        DataError: the file cannot be read, a line has not six columns, the second is not `Q0`, rank or score is no
            number, a document stands twice for a query, two runs are in one file, or it is empty.
    """
    scores: dict[str, dict[str, float]] = {}
    names: set[str] = set()
    for place, columns in _columns(path, 6, "query Q0 document rank score name"):
        query, q0, document, rank, score, name = columns
        if q0.upper() != "Q0":
            raise DataError(f"{place}: the second column must be Q0, not {shorten(q0)}; is this a file of judgements?")
        if not _SCORE.fullmatch(rank):
            raise DataError(f"{place}: the rank {shorten(rank)} is no number")
        if not _SCORE.fullmatch(score) or not math.isfinite(float(score)) or abs(float(score)) > _LARGEST_SCORE:
            raise DataError(f"{place}: the score {shorten(score)} is no finite number of float32")
        names.add(name)
        if len(names) > 1:
            raise DataError(f"{place}: a second run begins, {shorten(name)}; keep one run in a file")
        _enter(scores.setdefault(query, {}), document, float(score), place, query)
    return {query: sort_by_score(list(found), list(found.values())) for query, found in scores.items()}


def write_run(rankings: Mapping[str, Ranking], path: str | os.PathLike[str], name: str = "unshaken") -> None:
    """Write a run as `read_run` reads it; scores keep all digits of float32.

    Args:
        rankings: query id to its documents in order.
        path: of the file, which is replaced, whole or not at all.
        name: of the run, without space.

    Raises:
        ParameterError: the name or an id is empty or holds space.
    """
    if not name or name.split() != [name]:
        raise ParameterError(f"the name of a run must be one word, not {shorten(name)}")
    for one in (*rankings, *dict.fromkeys(document for ranking in rankings.values() for document in ranking.ids)):
        if one.split() != [one]:
            raise ParameterError(f"the id {shorten(one)} is empty or holds space, which divides columns: rename it")
    lines = (
        f"{query} Q0 {document} {rank} {score:.9g} {name}\n"
        for query, ranking in rankings.items()
        for rank, (document, score) in enumerate(zip(ranking.ids, ranking.scores, strict=True), start=1)
    )
    target = Path(path)
    RunDir(target.parent).write("".join(lines).encode(), target.name)


def read_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    """Queries or documents: lines `id<TAB>text`.

    Raises:
        DataError: the file cannot be read, a line has no tab or no text, an id is empty, holds space or stands twice,
            or the file is empty.
    """
    texts: dict[str, str] = {}
    for place, line in _lines(path):
        name, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{place}: there is no tab between id and text: {shorten(printable(line))}")
        if name.split() != [name]:
            raise DataError(f"{place}: the id {shorten(printable(name))} is empty or holds space")
        if not text.strip():
            raise DataError(f"{place}: {shorten(name)} has no text")
        if name in texts:
            raise DataError(f"{place}: the id {shorten(name)} stands twice")
        texts[name] = text.strip()
    return texts


def read_collection(folder: str | os.PathLike[str]) -> Collection:
    """A collection from a folder: `documents.tsv`, `queries.tsv`, `qrels.txt`, and `types.tsv` where there is one.

    Queries that are not judged, or have no relevant document, are left out, as trec_eval leaves them out.

    Raises:
        DataError: a file is absent or damaged, or they do not belong together.
    """
    place = Path(folder)
    documents, queries = read_texts(place / "documents.tsv"), read_texts(place / "queries.tsv")
    qrels = read_qrels(place / "qrels.txt")
    if not qrels.keys() & queries.keys():
        raise DataError(f"{place}: qrels.txt judges none of the queries of queries.tsv; do their ids agree?")
    types = read_texts(place / "types.tsv") if (place / "types.tsv").exists() else {}
    without = {q for q in queries if not any(grade > 0 for grade in qrels.get(q, {}).values())}
    judged = [{q: value for q, value in table.items() if q not in without} for table in (queries, qrels, types)]
    return Collection(documents, *judged)  # type: ignore[arg-type]


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """The lines of a file that are not empty, each after its place."""
    place = Path(path)
    try:
        text = read_text(place, LARGEST_FILE)
    except OSError as error:
        raise DataError(f"{place}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: it is no UTF-8 text (byte {error.start:,}); convert it") from None
    if "\0" in text:
        raise DataError(f"{place}: it holds zero bytes and is no text; is it compressed?")
    lines = [(f"{place}, line {n}", line) for n, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1)]
    found = [(where, line.removesuffix("\r")) for where, line in lines if line.strip()]
    if not found:
        raise DataError(f"{place}: the file is empty")
    yield from found


def _columns(path: str | os.PathLike[str], count: int, form: str) -> Iterator[tuple[str, list[str]]]:
    for place, line in _lines(path):
        columns = line.split()
        if len(columns) != count:
            raise DataError(f"{place}: {len(columns)} columns in the place of {count} ({form})")
        yield place, columns


def _enter(found: dict[str, V], document: str, value: V, place: str, query: str) -> None:
    if document in found:
        raise DataError(f"{place}: document {shorten(document)} stands twice for query {shorten(query)}")
    found[document] = value


PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
"""Part of speech to the name of its file."""
DATA_FOLDER = "UNSHAKEN_DATA"
"""Variable of the folder of data sets; WordNet is looked for in its `wordnet` first."""
DEBIAN = Path("/usr/share/wordnet")
"""Where Debian's package `wordnet-base` puts WordNet 3.0."""
_EXAMPLE = re.compile(r'"([^"]*)"')
_LEAST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning of WordNet, shared by the words that have it.

    Args:
        id: part of speech and offset in its file, as in `n02084071`.
        part: of speech: `noun`, `verb`, `adj` or `adv`.
        file: number of its lexicographer's file, such as 6 for `noun.artifact`.
        text: its words and its definition.
        example: the first sentence of four words or more that is given; empty if there is none.
        related: ids of its direct hypernyms and hyponyms.
    """

    id: str
    part: str
    file: int
    text: str
    example: str
    related: tuple[str, ...]


def read_wordnet(folder: str | os.PathLike[str] | None = None) -> list[Synset]:
    """Read all meanings of WordNet from its data files.

    Args:
        folder: with `data.noun`, `data.verb`, `data.adj` and `data.adv`; default, `$UNSHAKEN_DATA/wordnet`, else
            where Debian puts them.

    Raises:
        DataError: a file is absent, or not of WordNet's form.
    """
    known = [Path(os.environ[DATA_FOLDER]) / "wordnet"] if os.environ.get(DATA_FOLDER) else []
    place = Path(folder) if folder is not None else next((p for p in (*known, DEBIAN) if p.is_dir()), DEBIAN)
    found = []
    for letter, part in PARTS.items():
        file = place / f"data.{part}"
        if not file.is_file():
            raise DataError(
                f"{file} is absent: apt-get install wordnet-base, or name the folder of WordNet's data files"
            )
        for number, line in enumerate(file.read_text(encoding="latin-1").splitlines(), start=1):
            if line.strip() and not line.startswith(" "):  # the licence stands before the data
                found.append(_parse(line, letter, part, f"{file}, line {number}"))
    return found


def _parse(line: str, letter: str, part: str, place: str) -> Synset:
    head, bar, gloss = line.partition("|")
    fields = head.split()
    try:
        file, words = int(fields[1]), int(fields[3], 16)
        count = int(fields[4 + 2 * words])
        pointers = fields[5 + 2 * words : 5 + 2 * words + 4 * count]
        triples = [(pointers[i], pointers[i + 1], pointers[i + 2]) for i in range(0, 4 * count, 4)]
    except (IndexError, ValueError):
        bar = ""
    if not bar or len(fields[0]) != 8:
        raise DataError(f"{place} is no line of WordNet 3")
    lemmas = [re.sub(r"\([a-z]+\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(words)]
    examples = [e.strip() for e in _EXAMPLE.findall(gloss) if len(e.split()) >= _LEAST_WORDS]
    definition = gloss.partition('"')[0].strip(" ;")
    related = tuple(f"{p}{offset}" for kind, offset, p in triples if kind in ("@", "~") and p in PARTS)
    text = f"{', '.join(lemmas)}: {definition}"
    return Synset(f"{letter}{fields[0]}", part, file, text, examples[0] if examples else "", related)


def as_collection(documents: Iterable[Synset], queries: Sequence[Synset], *, related: bool = False) -> Collection:
    """Meanings as documents, and the examples of some of them as queries, of the type of their part of speech.

    Args:
        documents: all that is ranked.
        queries: among them; those without an example are left out.
        related: whether direct hypernyms and hyponyms are relevant too, with grade 1; the meaning itself has 2 then.

    Raises:
        DataError: nothing is left.
    """
    texts = {s.id: s.text for s in documents}
    asked = [s for s in queries if s.example]
    qrels = {}
    for synset in asked:
        near = {r: 1 for r in synset.related if r in texts} if related else {}
        qrels[synset.id] = {**near, synset.id: 2 if related else 1}
    return Collection(texts, {s.id: s.example for s in asked}, qrels, {s.id: s.part for s in asked})

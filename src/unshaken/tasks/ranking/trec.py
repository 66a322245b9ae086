"""Files of TREC: runs and relevance judgements, and texts as `id<TAB>text`; anything odd in them is one line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from unshaken.core.documents import read_text
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.core.texts import printable
from unshaken.store.run_dir import RunDir
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.order import Ranking, sort_by_score

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
    kept = [{q: value for q, value in table.items() if q not in without} for table in (queries, qrels, types)]
    return Collection(documents, *kept)  # type: ignore[arg-type]


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

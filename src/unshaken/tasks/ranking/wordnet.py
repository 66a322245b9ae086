"""WordNet as a collection: the query is an example sentence, the document is the meaning that it illustrates."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unshaken.core.errors import DataError
from unshaken.tasks.ranking.collection import Collection

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
    """A meaning.

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
    """All meanings of WordNet.

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

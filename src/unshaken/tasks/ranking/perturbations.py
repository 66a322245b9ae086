"""Changes of a query that keep its meaning for people, and changes of a document that should lift it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.rng import SampleRng
from unshaken.tasks.ranking.words import STOP_WORDS, WORD, split_words

Rng = np.random.Generator
Edit = Callable[[str, Rng], str]
"""From a word of four letters or more to a misspelt one."""
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Rows of letters of a keyboard."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _neighbours() -> dict[str, str]:
    near: dict[str, set[str]] = {letter: set() for letter in LETTERS}
    for row, keys in enumerate(KEYS):
        for place, key in enumerate(keys):
            near[key] |= {keys[i] for i in (place - 1, place + 1) if 0 <= i < len(keys)}
            above, below = KEYS[max(0, row - 1) : row], KEYS[row + 1 : row + 2]
            near[key] |= {letter for other in above for letter in other[place : place + 2]}
            near[key] |= {letter for other in below for letter in other[max(0, place - 1) : place + 1]}
    return {key: "".join(sorted(keys)) for key, keys in near.items()}


NEIGHBOURS = _neighbours()
"""Letter to its neighbours on a keyboard."""


def swap(word: str, at: int) -> str:
    """Two inner letters that stand side by side change places: those at `at` and `at + 1`.

    >>> swap("wing", 1), swap(swap("wing", 1), 1)
    ('wnig', 'wing')
    """
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _inner(word: str, rng: Rng, less: int = 0) -> int:
    """The place of an inner letter, drawn."""
    return 1 + int(rng.integers(len(word) - 2 - less))


def _swap(word: str, rng: Rng) -> str:
    return swap(word, _inner(word, rng, less=1))


def _delete(word: str, rng: Rng) -> str:
    at = _inner(word, rng)
    return word[:at] + word[at + 1 :]


def _insert(word: str, rng: Rng) -> str:
    at = 1 + int(rng.integers(len(word) - 1))
    return word[:at] + LETTERS[int(rng.integers(26))] + word[at:]


def _substitute(word: str, rng: Rng) -> str:
    at = _inner(word, rng)
    others = [letter for letter in LETTERS if letter != word[at].lower()]
    return word[:at] + others[int(rng.integers(len(others)))] + word[at + 1 :]


def _keyboard(word: str, rng: Rng) -> str:
    at = _inner(word, rng)
    near = NEIGHBOURS.get(word[at].lower(), word[at])
    return word[:at] + near[int(rng.integers(len(near)))] + word[at + 1 :]


TYPOS: Mapping[str, Edit] = {
    "swap": _swap, "delete": _delete, "insert": _insert, "substitute": _substitute, "keyboard": _keyboard
}  # fmt: skip
"""Name to a spelling mistake; first and last letter stay."""

OTHERS = ("shuffle-words", "drop-stop-words", "drop-words", "synonym")
"""Changes of a query that are no spelling mistakes."""


def misspell(query: str, rng: Rng, *, typo: str, words: int = 1) -> str:
    """Misspell some words of a query, once each.

    Args:
        query: the text; stop words, and words of fewer than four letters, are left alone.
        rng: draws words and letters.
        typo: a name of `TYPOS`.
        words: of the query that are misspelt; all where it has fewer.

    Raises:
        ParameterError: there is no such mistake.
    """
    if typo not in TYPOS:
        raise ParameterError(f"there is no spelling mistake {typo!r}; {did_you_mean(typo, TYPOS)}")
    edit = TYPOS[typo]
    places = [m for m in WORD.finditer(query) if len(m[0]) >= 4 and m[0].lower() not in STOP_WORDS]
    chosen = rng.permutation(len(places))[:words]
    for match in sorted((places[i] for i in chosen), key=lambda m: -m.start()):
        query = query[: match.start()] + edit(match[0], rng) + query[match.end() :]
    return query


def shuffle_words(query: str, rng: Rng) -> str:
    """The words of a query in random order."""
    words = query.split()
    return " ".join(words[i] for i in rng.permutation(len(words)))


def drop_stop_words(query: str, rng: Rng) -> str:
    """A query without its stop words; one of stop words alone stays."""
    others = [word for word in query.split() if word.lower() not in STOP_WORDS]
    return " ".join(others) or query


def drop_words(query: str, rng: Rng) -> str:
    """A query without a fifth of its words other than stop words, one at least; the last of them stays."""
    words = query.split()
    places = [i for i, word in enumerate(words) if word.lower() not in STOP_WORDS]
    count = min(max(1, round(0.2 * len(places))), len(places) - 1)
    gone = {places[i] for i in rng.permutation(len(places))[: max(count, 0)]}
    return " ".join(word for i, word in enumerate(words) if i not in gone)


def replace_words(query: str, rng: Rng, synonyms: Mapping[str, Sequence[str]]) -> str:
    """A query with one of its words replaced by a synonym, where one is known.

    Args:
        query: the text.
        rng: draws word and synonym.
        synonyms: word in lower case to others.
    """
    places = [m for m in WORD.finditer(query) if m[0].lower() not in STOP_WORDS and synonyms.get(m[0].lower())]
    if not places:
        return query
    match = places[int(rng.integers(len(places)))]
    others = synonyms[match[0].lower()]
    return query[: match.start()] + others[int(rng.integers(len(others)))] + query[match.end() :]


def perturb(
    queries: Mapping[str, str], name: str, seed: int, *, words: int = 1,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Change every query; what is drawn depends on seed, name and the query's id alone.

    Args:
        queries: id to text.
        name: of `TYPOS`, or `shuffle-words`, `drop-stop-words`, `drop-words`, `synonym`.
        seed: of the draws.
        words: misspelt in each query.
        synonyms: word to others, for `synonym`.

    Raises:
        ParameterError: there is no such change, or `synonym` has no synonyms.
    """
    if name == "synonym" and not synonyms:
        raise ParameterError("the change 'synonym' needs synonyms: a mapping from words to others")
    known: dict[str, Callable[[str, Rng], str]] = {
        **{typo: lambda q, rng, typo=typo: misspell(q, rng, typo=typo, words=words) for typo in TYPOS},  # type: ignore[misc]
        "shuffle-words": shuffle_words,
        "drop-stop-words": drop_stop_words,
        "drop-words": drop_words,
        "synonym": lambda q, rng: replace_words(q, rng, synonyms or {}),
    }
    if name not in known:
        raise ParameterError(f"there is no change of queries {name!r}; {did_you_mean(name, known)}")
    rngs = SampleRng.of(seed, f"query {name}", list(queries)).generators()
    return {i: known[name](text, rng) for (i, text), rng in zip(queries.items(), rngs, strict=True)}


Manipulate = Callable[[str, str, str, int], str]
"""From document, query, the text of the first document, and a number of times, to the changed document."""
MANIPULATIONS: Mapping[str, Manipulate] = {
    "append": lambda document, query, first, times: " ".join([document, *split_words(query) * times]),
    "prepend": lambda document, query, first, times: " ".join([*split_words(query) * times, document]),
    "copy-first": lambda document, query, first, times: " ".join([document, *[first] * times]),
    "none": lambda document, query, first, times: document,
}
"""Name to a change of a document: the query's words behind or before it, the text of the document that the ranker puts
first behind it, and nothing, for control."""

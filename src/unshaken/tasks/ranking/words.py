"""Words of queries and documents: one rule for all rankers and perturbations, fixed before anything is changed."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits of any script."""
_STOP = (
    "a about above after again all am an and any are as at be because been before being below between both but by can "
    "could did do does doing down during each few for from further had has have having he her here hers him his how i "
    "if in into is it its just me more most my no nor not now of off on once only or other our out over own same she "
    "should so some such than that the their them then there these they this those through to too under until up very "
    "was we were what when where which while who why will with would you your"
)
STOP_WORDS = frozenset(_STOP.split())


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without stop words; a text of stop words alone keeps them.

    >>> split_words("The Wing of a bird"), split_words("to be")
    (['wing', 'bird'], ['to', 'be'])
    """
    words = WORD.findall(text.lower())
    return [word for word in words if word not in STOP_WORDS] or words

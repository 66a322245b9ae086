"""Key words of texts by tf-idf and of images by the classes that a model gives them; sentences of a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.ranking.words import STOP_WORDS, WORD

Position = Literal["end", "start", "middle"]
"""Where an added text is put."""
POSITIONS: tuple[str, ...] = get_args(Position)
_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, by the marks that end them; the whole text where there is none.

    >>> split_sentences("A ship. Is it old?")
    ['A ship.', 'Is it old?']
    """
    return [part for part in (p.strip() for p in _END.split(text)) if part] or [text]


def add_text(text: str, added: str, position: Position = "end") -> str:
    """A text with another one added; nothing of it is removed.

    Args:
        text: what is there.
        added: the text to add; blank for nothing.
        position: `end`, `start`, or `middle`: behind half of the sentences, or of the words where there is but one.

    Raises:
        ParameterError: there is no such position.

    >>> add_text("A ship. An anchor.", "Cows graze.", "middle")
    'A ship. Cows graze. An anchor.'
    """
    if position not in POSITIONS:
        raise ParameterError(f"there is no position {position!r}; {did_you_mean(position, POSITIONS)}")
    if not added.strip():
        return text
    if position == "end":
        return f"{text} {added}"
    if position == "start":
        return f"{added} {text}"
    parts = split_sentences(text)
    parts = parts if len(parts) > 1 else text.split()
    half = (len(parts) + 1) // 2
    return " ".join([*parts[:half], added, *parts[half:]])


BRIGHTNESS = ((0.35, "dark"), (0.6, "plain"), (1.01, "bright"))
"""Mean of the pixels below which a picture is called so."""
TINTS = ("reddish", "greenish", "bluish")
GREY = 0.03
"""Largest distance of a channel's mean from that of all channels in a picture without a tint."""


def text_keywords(texts: Sequence[str], *, known: Sequence[str] | None = None, count: int = 3) -> list[list[str]]:
    """The words of each text with the largest tf-idf, in lower case, the first the largest.

    Args:
        texts: whose words are wanted.
        known: texts that say how frequent words are; default the texts themselves.
        count: words of a text at most.

    Returns:
        One list a text; a text of stop words alone has none.

    Raises:
        ParameterError: count is below 1.
        MissingExtra: scikit-learn is absent.
    """
    if count < 1:
        raise ParameterError(f"count must be 1 or more, not {count}")
    package = need("sklearn.feature_extraction.text", "scikit-learn", "ranking", "finding key words of texts")
    counter = package.TfidfVectorizer(analyzer=content_words)
    try:
        counter.fit(list(texts if known is None else known))
    except ValueError:  # no text has a word
        return [[] for _ in texts]
    names = counter.get_feature_names_out()
    found = []
    for row in counter.transform(list(texts)):
        order = sorted(zip(-row.data, names[row.indices], strict=True))
        found.append([str(name) for _, name in order[:count]])
    return found


def content_words(text: str) -> list[str]:
    """The words of a text in lower case without stop words and single letters.

    >>> content_words("A dog on the 2nd ship")
    ['dog', '2nd', 'ship']
    """
    return [w for w in WORD.findall(text.lower()) if len(w) > 1 and w not in STOP_WORDS]


def image_keywords(probabilities: Numbers, words: Sequence[str], *, count: int = 3) -> list[list[str]]:
    """Words of the classes that a model finds most probable in each image.

    Args:
        probabilities: of any classifier, `[N, K]`: one of a thousand classes gives better words than the victim.
        words: one a class, such as their names.
        count: words of an image.

    Raises:
        ParameterError: there is another number of words than of classes.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(words):
        raise ParameterError(f"{len(words)} words came with probabilities of shape {probabilities.shape}: give one a "
                             "class")  # fmt: skip
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return [[words[k] for k in row] for row in order]


def tag_keywords(ids: Sequence[str], tags: Mapping[str, Sequence[str]], *, count: int = 3) -> list[list[str]]:
    """Words of images from tags that are given, as those of a detector; an image without tags has none.

    Args:
        ids: of the images.
        tags: id to words, the most certain first; repeated words count once.
        count: words of an image at most.
    """
    return [list(dict.fromkeys(tags.get(i, ())))[:count] for i in ids]


def describe_pictures(images: Tensor) -> list[tuple[str, str]]:
    """How bright each picture is and which tint it has, in words; an empty one for no tint.

    Args:
        images: uint8 `[N, C, H, W]`.

    >>> describe_pictures(torch.tensor([[[[30]], [[20]], [[250]]]], dtype=torch.uint8))
    [('plain', 'bluish')]
    """
    channels = images.float().mean((2, 3)) / 255
    channels = channels.expand(-1, 3) if channels.shape[1] == 1 else channels[:, :3]
    found = []
    for row in channels:
        mean = float(row.mean())
        bright = next(word for limit, word in BRIGHTNESS if mean < limit)
        place = int(torch.argmax(row))
        found.append((bright, TINTS[place] if float(row[place]) - mean > GREY else ""))
    return found

"""A language model behind the classifier: it chooses between a few classes, and is compared with the classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.core.texts import first_line
from unshaken.measure import Comparison, Figure, compare, share
from unshaken.measure.statistics.columns import Indices
from unshaken.models.class_names import ClassNames

Choose = Callable[[Tensor, str, Sequence[str]], int]
"""From an image `[C, H, W]` in [0, 1], a question and options to the number of one, from 0."""
QUESTION = "What is the main object in this image?"


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer for one image.

    Args:
        id: of the image.
        options: classes that stood for choice, in the order shown.
        label: the true class.
        chosen: the class that was chosen; None where the answer was none of the options.
        error: why there is no answer; empty where there is one.
    """

    id: str
    options: tuple[int, ...]
    label: int
    chosen: int | None
    error: str = ""


def confusing_options(logits: Tensor, labels: Tensor, ids: Sequence[str], *, count: int = 4, seed: int = 0) -> Indices:
    """The true class and those that a model takes for it most, in random order.

    Args:
        logits: of the model whose confusions are shown, `[N, K]`.
        labels: int64 `[N]`.
        ids: of the samples; the order of an image's options hangs on (seed, its id).
        count: options, from 2 to K.
        seed: of the order.

    Returns:
        int `[N, count]`.

    Raises:
        ParameterError: the count is not allowed.
    """
    k = logits.shape[1]
    if not 2 <= count <= k:
        raise ParameterError(f"{count} options are wanted of {k} classes: give 2 to {k}")
    others = widen(logits).scatter(1, labels[:, None], -torch.inf)
    wrong = others.sort(dim=1, descending=True, stable=True).indices[:, : count - 1]
    options = torch.cat([labels[:, None], wrong], 1)
    order = SampleRng.of(seed, "zero-shot/options", list(ids)).uniform(count).argsort(1)
    found: Indices = options.gather(1, order.to(options.device)).cpu().numpy()
    return found


def ask(
    choose: Choose, batch: Batch, options: Indices, classes: Sequence[str], *, question: str = QUESTION
) -> list[Choice]:
    """Let a language model choose between the options of each image.

    Args:
        choose: see `Choose`; an exception, or an answer that is no option, counts as wrong and is recorded.
        batch: labelled images.
        options: classes, int `[N, C]`.
        classes: K names.
        question: that is asked.

    Raises:
        ParameterError: the images have no labels.
    """
    if batch.labels is None:
        raise ParameterError("choices need the true class of each image: name labelled data")
    found = []
    for i, (name, image, label) in enumerate(zip(batch.ids, batch.images, batch.labels.tolist(), strict=True)):
        own = tuple(int(c) for c in options[i])
        chosen, error = None, ""
        try:
            answer = choose(image, question, [classes[c] for c in own])
            if isinstance(answer, bool) or not isinstance(answer, int | np.integer) or not 0 <= answer < len(own):
                error = f"the answer {answer!r} is no number of an option, 0 to {len(own) - 1}"[:200]
            else:
                chosen = own[int(answer)]
        except Exception as failure:  # a user's code
            error = first_line(failure)
        found.append(Choice(name, own, label, chosen, error))
    return found


def renumber(choices: Sequence[Choice], names: Sequence[str], other: Sequence[str]) -> list[Choice]:
    """Answers in the class numbers of another model.

    Args:
        choices: in the numbers of the first model.
        names: of the first model's classes.
        other: of the other model's, found by name, synonym or WordNet id.

    Returns:
        Those all of whose classes the other model has, each under one number.
    """
    if tuple(names) == tuple(other):
        return list(choices)
    known = ClassNames(other)
    places = {c: known.find(names[c]) for choice in choices for c in (*choice.options, choice.label) if c < len(names)}
    single = {c: found[0] for c, found in places.items() if len(found) == 1}
    return [
        replace(
            choice, options=tuple(single[c] for c in choice.options), label=single[choice.label],
            chosen=None if choice.chosen is None else single[choice.chosen],
        )
        for choice in choices
        if single.keys() >= {*choice.options, choice.label}
    ]  # fmt: skip


def choose_within(logits: ArrayLike, options: ArrayLike) -> Indices:
    """The classifier's own choice: the class of the largest logit among the options, int `[N]`.

    Args:
        logits: `[N, K]`.
        options: classes, int `[N, C]`.
    """
    z, own = np.asarray(logits, np.float64), np.asarray(options, np.int64)
    best = np.take_along_axis(z, own, 1).argmax(1)
    found: Indices = np.take_along_axis(own, best[:, None], 1)[:, 0]
    return found


def compare_choices(choices: Sequence[Choice], logits: ArrayLike) -> tuple[Figure, Figure, Comparison]:
    """Accuracy of the classifier and of the language model between the same options, and both paired by image.

    Args:
        choices: N answers.
        logits: of the classifier on the same images, `[N, K]`.
    """
    labels = np.array([c.label for c in choices])
    plain = choose_within(logits, [c.options for c in choices]) == labels
    chosen = np.array([c.chosen == c.label for c in choices])
    return share(int(plain.sum()), len(plain)), share(int(chosen.sum()), len(chosen)), compare(plain, chosen)

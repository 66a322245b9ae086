"""Classes that targeted attacks are to reach, chosen for each sample by a rule or named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.oracle import required
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table

TARGETS = declare_table("targets", "id string, condition string, label int64, target int64, reached bool")
"""Of each sample the class that an attack was to reach, null where that is its label, and whether the model gave it."""

PART_TARGETS = declare_table(
    "part_targets",
    "id string, condition string, label int64, target int64, parts int64, reached int64, unchanged int64",
)
"""Of each image and class its parts (pixels or objects), and those given their target, attacked and unchanged."""

RULES = {
    "least-likely": "the class with the lowest logit on the unchanged image",
    "second": "the likeliest class besides the label on the unchanged image",
    "next": "the class after the label, the first after the last",
    "random": "any class besides the label, drawn by the run seed and the sample's id, the same for all attacks",
}
"""Rules by which a target is chosen; anything else is a class, or a column of the data."""


def label_with(label: str, target: str) -> str:
    """The label of a plan's line with its target, fit for a file name.

    >>> label_with("pgd+2", "random"), label_with("pgd", "polar bear")
    ('pgd-to-random+2', 'pgd-to-polar-bear')
    """
    name, plus, number = label.partition("+")
    return f"{name}-to-{re.sub(r'[^A-Za-z0-9.]+', '-', target)[:60].strip('-') or 'class'}{plus}{number}"


def choose_targets(
    rule: str, labels: Tensor, clean: Tensor, classes: Sequence[str], rng: SampleRng, *, reject: int | None = None
) -> Tensor:
    """Choose a target for each sample, never its label.

    Args:
        rule: one of `RULES`, or a class by name or number.
        labels: int64 `[N]`, the true classes.
        clean: `[N, K]`, logits of the unchanged images.
        classes: the K names; empty where they are not known.
        rng: of the samples.
        reject: the class by which a model says that it will not decide, which is no target.

    Returns:
        int64 `[N]`; -1 for samples whose label is the named class.

    Raises:
        ParameterError: there is no such rule or class, or no second class.
    """
    n, k = clean.shape
    others = torch.ones_like(clean, dtype=torch.bool).scatter(1, labels[:, None], False)
    others &= clean != -torch.inf
    if reject is not None:
        others[:, reject] = False
    if n and not bool(others.any(1).all()):
        raise ParameterError("a targeted attack needs a model with a class besides the label to reach")
    if rule == "least-likely":
        return clean.masked_fill(~others, torch.inf).argmin(1)
    if rule == "second":
        return clean.masked_fill(~others, -torch.inf).argmax(1)
    if rule == "next":
        steps = (labels[:, None] + torch.arange(1, k, device=labels.device)) % k
        return steps.gather(1, others.gather(1, steps).int().argmax(1, keepdim=True)).squeeze(1)
    if rule == "random":
        draws = rng.fold("target").uniform(k).to(clean.device)
        return draws.masked_fill(~others, -1).argmax(1)
    target = class_of(rule, classes, k, reject=reject)
    return torch.where(labels == target, -1, target)


def targets_by_class(rule: str, k: int, classes: Sequence[str], rng: SampleRng, scores: Tensor | None) -> Tensor:
    """Choose a target for the parts of each class in each sample, pixels or objects.

    Args:
        rule: one of `RULES`, or a class by name or number.
        k: number K of classes.
        classes: their names; empty where they are not known.
        rng: of the samples.
        scores: `[N, K, K]`, mean logits of the parts of each class; None for the rules `next` and `random`.

    Returns:
        int64 `[N, K]`; -1 for a class that is its own target.

    Raises:
        ParameterError: there is no such class, or no second class.
    """
    n, own = len(rng.keys), torch.arange(k, device=rng.keys.device)
    if k < 2:
        raise ParameterError("a targeted attack needs a model with a class besides the label to reach")
    if rule == "next":
        return ((own + 1) % k).expand(n, k)
    if rule == "random":
        return (own + rng.fold("target").integers(1, k, k)) % k
    if rule in RULES:
        ranks = required(scores) * (1 if rule == "second" else -1)
        return ranks.masked_fill(torch.eye(k, dtype=torch.bool, device=ranks.device), -torch.inf).argmax(2)
    target = class_of(rule, classes, k)
    return torch.where(own == target, -1, target).expand(n, k)


def class_of(
    text: str, classes: Sequence[str], k: int, *, reject: int | None = None, columns: Sequence[str] = ()
) -> int:
    """The number of a target class that is named, or given by its number.

    Args:
        text: its name or number.
        classes: names; empty where they are not known.
        k: number of classes.
        reject: the class by which a model says that it will not decide.
        columns: of the data, which the message may propose.

    Raises:
        ParameterError: there is no such class, or it is the rejection.
    """
    if not names_class(text, classes):
        near = [*RULES, *difflib.get_close_matches(text, [*classes, *columns])]
        raise ParameterError(
            f"no target {shorten(text)}: give a rule, a class by name or number, or a column of the data; "
            f"{did_you_mean(text, near)}"
        )
    found = list(classes).index(text) if text in classes else int(text)
    if found >= k:
        raise ParameterError(f"target {shorten(text)} is no class of the model, which has 0 to {k - 1}")
    if found == reject:
        raise ParameterError(f"target {shorten(text)} is the class by which the model rejects images: name another")
    return found


def names_class(text: str, classes: Sequence[str]) -> bool:
    """Whether a target is the name of a class, or a number, and so no column of the data.

    Args:
        text: anything but a rule.
        classes: names; empty where they are not known.
    """
    return text in classes or (text.isascii() and text.isdecimal())


def targets_in_column(
    column: str, values: Sequence[Any], ids: Sequence[str], classes: Sequence[str], k: int, *, reject: int | None = None
) -> list[int]:
    """The classes that a column of the data names for samples.

    Args:
        column: its name, for messages.
        values: classes by name or number; None for a sample without a target.
        ids: of the samples.
        classes: names; empty where they are not known.
        k: number of classes.
        reject: the class by which a model says that it will not decide.

    Returns:
        One number a sample, -1 where there is no target.

    Raises:
        ParameterError: a value is no class, or the rejection.
    """
    known: dict[Any, int] = {None: -1}
    for value, sample in zip(values, ids, strict=True):
        if value in known:
            continue
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if not names_class(text, classes) or isinstance(value, bool):
            raise ParameterError(
                f"column {shorten(column)} has {shorten(value)} as the target of sample {shorten(sample)}: give a "
                f"class by name or by number, 0 to {k - 1}, or leave it empty"
            )
        try:
            known[value] = class_of(text, classes, k, reject=reject)
        except ParameterError as error:
            raise ParameterError(f"column {shorten(column)}, sample {shorten(sample)}: {error}") from None
    return [known[value] for value in values]

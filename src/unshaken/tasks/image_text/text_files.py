"""Files of texts, each of a sample or a class, and the samples of an evaluation joined with theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.tasks.evaluation import EvaluationSubject
from unshaken.tasks.image_text.samples import LONGEST_TEXT, ImageTextSet, read_table, to_bytes

SIMILARITY = "similarity"
"""A column of dilutions: the relevance to the image, where it was judged elsewhere."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """Texts of a file by their keys, in the order of its rows.

    Args:
        name: of the file.
        texts: key to its texts.
        similarities: key to the numbers beside its texts; None where the file has no such column.
        bad: `NAME row N`, counted from 1, of each row that was left out, and why.
    """

    name: str
    texts: Mapping[str, Sequence[str]]
    similarities: Mapping[str, Sequence[float]] | None
    bad: Mapping[str, str]


def read_texts(file: str, *, key: str = "id", text: str = "text", several: bool = False) -> TextFile:
    """Read a Parquet, CSV or JSONL file with the columns `key` and `text`, and `similarity` where it is there.

    Args:
        file: its path.
        key: column of the key.
        text: column of the text.
        several: whether a key may have several texts; else only its first row is taken.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no row that can be used.
    """
    table = read_table(Path(file), (key, text), further=(SIMILARITY,) if several else (), texts=(key, text))
    rated = SIMILARITY in table.column_names
    name = Path(file).name
    texts: dict[str, list[str]] = {}
    numbers: dict[str, list[float]] = {}
    bad: dict[str, str] = {}
    rates: list[Any] = [_as_number(rate) for rate in table[SIMILARITY].to_pylist()] if rated else [0.0] * len(table)
    rows = zip(table[key].to_pylist(), table[text].to_pylist(), rates, strict=True)
    for number, (own, words, rate) in enumerate(rows, 1):
        if reason := _fault(key, own, text, words, rate):
            bad[f"{name} row {number}"] = reason
        elif str(own) in texts and not several:
            bad[f"{name} row {number}"] = f"the {key} {shorten(str(own))} was met before"
        elif words[:LONGEST_TEXT] in texts.get(str(own), ()):
            bad[f"{name} row {number}"] = f"the {key} {shorten(str(own))} has this text already"
        else:
            texts.setdefault(str(own), []).append(words[:LONGEST_TEXT])
            numbers.setdefault(str(own), []).append(float(rate))
    if not texts:
        raise DataError(f"{file}: none of {len(table)} rows can be used; the first: {next(iter(bad.values()), 'none')}")
    return TextFile(name, texts, numbers if rated else None, bad)


def _as_number(value: object) -> object:
    """A number that a column holds as a text, since one of its rows has something else."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _fault(key: str, own: object, text: str, words: object, rate: object) -> str:
    """Why a row cannot be used; empty for one that can."""
    if own is None or not str(own).strip():
        return f"the {key} is missing"
    if words is None:
        return f"the {text} is missing"
    if not isinstance(words, str):
        return f"the {text} is {type(words).__name__}: write a string"
    if not words.strip():
        return f"the {text} is blank"
    if not isinstance(rate, int | float) or not math.isfinite(rate) or not -1 <= rate <= 1:
        return f"the {SIMILARITY} is {rate!r}: give a number from -1 to 1"
    return ""


def collect_samples(subject: EvaluationSubject, texts: TextFile, view: View | None) -> ImageTextSet:
    """The samples of a subject with their texts; those without a label or a text are noted as bad.

    Args:
        subject: with labelled images.
        texts: by id.
        view: how the images are looked at; None where all have one size.

    Raises:
        DataError: no sample is left.
    """
    images, labels, ids = list[torch.Tensor](), list[torch.Tensor](), list[str]()
    for batch in subject.batches(view):
        own = torch.full((len(batch),), -1) if batch.labels is None else batch.labels.cpu()
        for i, label in zip(batch.ids, own.tolist(), strict=True):
            if label < 0:
                subject.bad[i] = "it has no label"
            elif i not in texts.texts:
                subject.bad[i] = f"{texts.name} has no text of it"
        kept = torch.tensor([label >= 0 and i in texts.texts for i, label in zip(batch.ids, own.tolist(), strict=True)])
        images.append(to_bytes(batch.images[kept].cpu()))
        labels.append(own[kept])
        ids += [i for i, keep in zip(batch.ids, kept.tolist(), strict=True) if keep]
    dataset = subject.samples
    if not ids:
        raise DataError(
            f"no sample of {dataset.options.spec!r} has a label and a text: its ids are such as "
            f"{shorten(dataset.ids[0])}, and those of {texts.name} such as {shorten(next(iter(texts.texts)))}"
        )
    found = torch.cat(labels).numpy().astype(np.int64)
    classes = tuple(dataset.classes) or tuple(str(k) for k in range(int(found.max()) + 1))
    return ImageTextSet(torch.cat(images), tuple(texts.texts[i][0] for i in ids), found, tuple(ids), classes)

"""`evaluate`: classifiers of images with texts under changes of either, as rows."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import torch

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.part import Condition, Part
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.text import self_bleu
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import empty_table, table_of
from unshaken.tasks.image_text.changes import Change, ChangeResult
from unshaken.tasks.image_text.predict import Predict, ask, true_probability, truncations
from unshaken.tasks.image_text.relevance import Relevance
from unshaken.tasks.image_text.report import RECORD, ImageTextReport
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.image_text.words import split_sentences
from unshaken.tasks.ranking.words import WORD

DILUTIONS = declare_table(
    "dilutions",
    "id string, condition string, classifier string, change string, label int64, text string, added string, "
    "changed_text string, position string, prediction int64, p_label double, changed_prediction int64, "
    "changed_p_label double, relevance_text double, relevance_image double, topic_divergence double, "
    "match double, words_added int64, self_bleu double, truncated bool, queries int64, kept bool, refused string, "
    "image_changed bool, seconds double",
)
"""Rows of changed samples, one a sample, classifier and change; docs/runs.md says what the columns hold."""


NAME = re.compile(r"[A-Za-z0-9_+-]+")
DILUTIONS_NAME = "dilutions"
SHOWN = 20
"""Number of samples whose pictures are stored for reading."""


def evaluate(
    classifiers: Mapping[str, Predict], samples: ImageTextSet, changes: Mapping[str, Change], *,
    relevance: Relevance | None = None, seed: int = 0, out: str | os.PathLike[str] | None = None,
) -> ImageTextReport:  # fmt: skip
    """Evaluate classifiers on samples as they are and under changes.

    Changes that search ask the first classifier; all others are shown what was found, so that a second one that was
    trained apart tells brittleness from luck in the search.

    Args:
        classifiers: name to any callable from images and texts to probabilities; see `Predict`.
        samples: labelled.
        changes: name to change.
        relevance: measures added texts; None leaves these columns empty.
        seed: of what is drawn.
        out: a new run directory for rows and pictures, of which `unshaken report DIR` makes a page to read; None keeps
            the rows in memory.

    Raises:
        ParameterError: there is no classifier or no change, or a name is not allowed.
        ModelError: a classifier gives no probabilities.
        RunError: the directory holds rows of dilutions already.
    """
    for what, names in (("classifier", list(classifiers)), ("change", list(changes))):
        if not names:
            raise ParameterError(f"there is no {what} to evaluate; give one by its name")
        if wrong := [n for n in names if not NAME.fullmatch(n)]:
            raise ParameterError(f"the {what}'s name {wrong[0]!r} may have letters, digits, + and - alone: rename it")
    if "clean" in changes:
        raise ParameterError("'clean' is the name of samples as they are: rename the change")
    check_folder(out, "out", (RECORD, "run.lock"))
    parts = dilution_rows(classifiers, samples, changes, relevance=relevance, seed=seed)
    if out is None:
        tables = [table_of(part) for part, _ in parts]
        return ImageTextReport(pa.concat_tables([empty_table("dilutions"), *tables]), samples.classes)
    run = RunDir(out)
    with locked(run):
        if run.names("rows", DILUTIONS_NAME):
            raise RunError(f"{run}: holds rows of dilutions already; choose another directory")
        order = SampleRng.of(seed, "samples to read", samples.ids).uniform(1)[:, 0].argsort()
        shown = sorted(order[:SHOWN].tolist())  # drawn, not chosen by their damage
        run.write_examples(samples.images[shown].float() / 255, [samples.ids[i] for i in shown], "clean", 0)
        for part, result in parts:
            run.write_rows(table_of(part), part.table, part.condition.id, 0)
            if result is not None and result.images is not samples.images:
                images = result.images[shown].float() / 255
                run.write_examples(images, [samples.ids[i] for i in shown], part.condition.id, 0)
        run.write_json({
            "schema": 1, "finished": True, "classes": list(samples.classes), "seed": seed,
            "classifiers": list(classifiers), "changes": ["clean", *changes], "samples": len(samples),
            "truncated": sorted(samples.truncated), "bad": samples.bad, "shown": [samples.ids[i] for i in shown],
        }, RECORD)  # fmt: skip
    return ImageTextReport.read(run)


def dilution_rows(
    classifiers: Mapping[str, Predict], samples: ImageTextSet, changes: Mapping[str, Change], *,
    relevance: Relevance | None = None, seed: int = 0, prefix: str = "",
    finished: Callable[[str], bool] = lambda condition: False,
) -> Iterator[tuple[Part, ChangeResult | None]]:  # fmt: skip
    """Rows of every change and classifier, as `evaluate` writes them.

    Args:
        classifiers: as for `evaluate`.
        samples: as for `evaluate`.
        changes: as for `evaluate`.
        relevance: as for `evaluate`.
        seed: as for `evaluate`.
        prefix: of the conditions, which are `<classifier>.<change>`.
        finished: whether the rows of a condition are there already; they are not made again.

    Yields:
        The rows of one condition, and the change that they are of; None for samples as they are.
    """
    searched = next(iter(classifiers.values()))
    k = len(samples.classes)
    left = {change: [n for n in classifiers if not finished(f"{prefix}{n}.{change}")] for change in ("clean", *changes)}
    if not any(left.values()):
        return
    clean = {name: ask(predict, samples.images, samples.texts, k) for name, predict in classifiers.items()}
    sides = None if relevance is None else relevance.image_side(samples.images)
    for change, names in left.items():
        if not names:
            continue
        began = time.perf_counter()
        result = None if change == "clean" else changes[change].apply(samples, searched, relevance, seed)
        shared = _shared_columns(samples, result, relevance, sides)
        seconds = (time.perf_counter() - began) / len(samples)
        for name in names:
            predict = classifiers[name]
            after = clean[name] if result is None else ask(predict, result.images, result.texts, k)
            texts = samples.texts if result is None else result.texts
            columns = {
                **shared,
                "classifier": [name] * len(samples),
                "change": [change] * len(samples),
                **_answers("", clean[name], samples), **_answers("changed_", after, samples),
                "truncated": truncations(predict, texts),
                "seconds": [seconds] * len(samples),
            }  # fmt: skip
            yield Part(DILUTIONS_NAME, Condition(f"{prefix}{name}.{change}", change), columns), result


def _answers(prefix: str, probabilities: Numbers, samples: ImageTextSet) -> dict[str, Any]:
    return {
        f"{prefix}prediction": probabilities.argmax(1).tolist(),
        f"{prefix}p_label": true_probability(probabilities, samples.labels).tolist(),
    }


def _shared_columns(
    samples: ImageTextSet, result: ChangeResult | None, relevance: Relevance | None, sides: Numbers | None
) -> dict[str, Any]:
    """Columns of a change that are the same for all classifiers."""
    same = result if result is not None else ChangeResult.of(samples)
    columns: dict[str, Any] = {
        "id": list(samples.ids), "label": samples.labels.tolist(), "text": list(samples.texts),
        "added": list(same.added), "changed_text": list(same.texts), "position": [same.position] * len(samples),
        "words_added": [len(WORD.findall(text)) for text in same.added],
        "self_bleu": [
            self_bleu([WORD.findall(sentence.lower()) for sentence in split_sentences(text)]) if text else None
            for text in same.added
        ],
        "queries": list(same.queries), "kept": list(same.kept), "refused": list(same.reasons),
        "image_changed": [not torch.equal(a, b) for a, b in zip(samples.images, same.images, strict=True)],
    }  # fmt: skip
    if relevance is not None:
        scores = relevance.scores(samples.texts, same.added, sides, samples.images)
        for name, values in (
            ("relevance_text", scores.text), ("relevance_image", scores.image), ("topic_divergence", scores.topics),
            ("match", scores.match),
        ):  # fmt: skip
            columns[name] = [None if math.isnan(v) else v for v in values.tolist()]
    return columns

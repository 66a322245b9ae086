"""The most abnormal pictures that a run kept, with their scores."""

from __future__ import annotations

from collections.abc import Sequence

from unshaken.core.part import CLEAN
from unshaken.report.blocks import Block, Heading, Prose, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.figures.detected import split_of
from unshaken.report.read.scores import NORMAL, RunScores, Scores
from unshaken.report.sections._detectors import by_auroc, set_name
from unshaken.report.sections.section import Report

SHOWN = 9
"""Pictures a set at most."""
SIZE = 400_000
"""Characters of all these pictures together."""


def galleries(report: Report, every: RunScores, *, shown: int = SHOWN, size: int = SIZE) -> list[Block]:
    """Pictures by the scores of the best detector: the normal ones first, then each set with images of its own.

    Args:
        report: of the run.
        every: its scores.
        shown: pictures a set at most.
        size: characters of all pictures together.
    """
    best = by_auroc(report.data)[0]
    sets, classes = every.sets[best["condition"]], report.source.config.classes
    named = {NORMAL: "normal"} | {split_of(g): set_name(g) for g in best["groups"]}
    found = list[Block]()
    for split, name in named.items():
        scores = sets.get(split)
        if scores is None or (split != NORMAL and scores.place is sets[NORMAL].place):
            continue  # pictures of the own images under a shift are not kept
        images = {**scores.place.examples(CLEAN.id), **scores.place.examples(scores.condition)}
        places = [i for i in (-scores.score).argsort(kind="stable") if scores.known[i] and scores.ids[i] in images]
        exhibits = []
        for i in places[:shown]:
            picture = Picture(pictures.address(images[scores.ids[i]]), f"Sample {scores.ids[i]}")
            exhibits.append(Exhibit((picture,), _lines(scores, i, classes, normal=split == NORMAL)))
            size -= len(picture.address)
        if size < 0:
            break
        if exhibits:
            pixels = max(next(iter(images.values())).shape[1:]) < pictures.SIDE
            text = (f"{name} ", Span(f"{len(exhibits)} of {len(images)} kept", "soft"))
            found += [Prose(text), Gallery(tuple(exhibits), pixels)]
    if not found:
        return []
    about = (
        f"Of the pictures that the run kept, those with the highest score of {best['condition']}, with the class that "
        "the model predicts."
    )
    return [Heading("The most abnormal pictures", level=3), Prose(about, "small"), *found]


def _lines(scores: Scores, i: int, classes: Sequence[str], *, normal: bool) -> tuple[Text, ...]:
    accepted = bool(scores.accepted[i])
    verdict = Span("accepted" if accepted else "rejected", "good" if accepted == normal else "bad")
    predicted = pictures.class_name(classes, int(scores.prediction[i]))
    return verdict, f"{scores.score[i]:.4g}", Span(predicted, "soft")

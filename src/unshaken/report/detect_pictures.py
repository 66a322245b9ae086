"""The most abnormal pictures that a run kept, with their scores: who is turned away, and who should have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unshaken.report import detect_view, pictures
from unshaken.report.detected import split_of
from unshaken.report.detection_rows import NORMAL, Scores
from unshaken.report.summary import Summary
from unshaken.run.rows import CLEAN

Row = dict[str, Any]

SHOWN = 9
SIZE = 400_000
"""Characters of all these pictures together."""


@dataclass(frozen=True, slots=True)
class Face:
    """A picture with its score.

    Args:
        id: the sample.
        picture: its address.
        score: of the detector.
        accepted: let in.
        prediction: the model's class.
    """

    id: str
    picture: str
    score: float
    accepted: bool
    prediction: str


@dataclass(frozen=True, slots=True)
class Wall:
    """The most abnormal of one set.

    Args:
        name: of the set, for people.
        detector: whose scores they are.
        kept: pictures of the set that the run kept.
        faces: the highest score first.
        small: shown enlarged, pixel by pixel.
    """

    name: str
    detector: str
    kept: int
    faces: tuple[Face, ...]
    small: bool


def walls(summary: Summary, *, shown: int = SHOWN, size: int = SIZE) -> list[Wall]:
    """Pictures by the scores of the best detector: the normal ones first, then each set with images of its own.

    Args:
        summary: of the run.
        shown: pictures a set at most.
        size: characters of all pictures together.
    """
    if not summary.data["detection"]:
        return []
    best = detect_view.by_auroc(summary.data)[0]
    sets = summary.screened.sets[best["condition"]]
    named = {NORMAL: "normal"} | {split_of(g): detect_view.set_name(g) for g in best["groups"]}
    found = []
    for split, name in named.items():
        scores = sets.get(split)
        if scores is None or (split != NORMAL and scores.place is sets[NORMAL].place):
            continue  # pictures of the own images under a shift are not kept
        wall = _wall(summary, best["condition"], name, scores, shown)
        size -= sum(len(f.picture) for f in wall.faces)
        if size < 0:
            break
        if wall.faces:
            found.append(wall)
    return found


def _wall(summary: Summary, detector: str, name: str, scores: Scores, shown: int) -> Wall:
    images = {**scores.place.examples(CLEAN.id), **scores.place.examples(scores.condition)}
    places = [i for i in (-scores.score).argsort(kind="stable") if scores.known[i] and scores.ids[i] in images]
    faces = tuple(
        Face(
            id=str(scores.ids[i]),
            picture=pictures.address(images[scores.ids[i]]),
            score=float(scores.score[i]),
            accepted=bool(scores.accepted[i]),
            prediction=pictures.class_name(summary, int(scores.prediction[i])),
        )
        for i in places[:shown]
    )
    small = bool(images) and max(next(iter(images.values())).shape[1:]) < pictures.SIDE
    return Wall(name, detector, len(images), faces, small)

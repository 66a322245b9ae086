"""Counts of the released judgements, shared and close errors, and multi-label accuracy, from rows alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.measure.classification.multi_label_accuracy import MultiLabels, multi_label_accuracy
from unshaken.papers.rows import Flags, Rows, share_of
from unshaken_papers.imagenet_mistakes import NEAR, PASTED, PHOTOS, RELEASED, REVIEWED, ImageNetMistakesPaper

MAJOR = "Major"


def figures(paper: ImageNetMistakesPaper, rows: Rows) -> dict[str, Any]:
    """Each part whose rows are there, and the seeds."""
    found: dict[str, Any] = {name: pasted(part) for name, part in rows.repetitions(paper.seeds).items()}
    if rows.labels("mistakes"):
        found["released"] = released(rows)
    if rows.labels("votes"):
        found[REVIEWED] = reviewed(rows)
    if paper.photos:
        found[PHOTOS] = photos(paper, rows)
    return found


def released(rows: Rows) -> dict[str, Any]:
    """Counts by severity and category of each model, what the two share, and the confusions."""
    mistakes = {name: {r["id"]: r for r in rows.table("mistakes", name).to_pylist()} for name in RELEASED}
    found: dict[str, Any] = {name: counted(list(by_file.values())) for name, by_file in mistakes.items()}
    one, other = mistakes.values()
    both = sorted(set(one) & set(other))
    same = [f for f in both if one[f]["prediction"] == other[f]["prediction"]]
    majors = [f for f, r in one.items() if r["severity"] == MAJOR]
    found["both"] = {
        "mistakes": len(both),
        "same_prediction": len(same),
        "same_judgement": sum(all(one[f][k] == other[f][k] for k in ("category", "severity")) for f in same),
        "majors_shared": sum(f in other for f in majors),
        "majors_of_both": sum(f in other and other[f]["severity"] == MAJOR for f in majors),
    }
    counts = rows.column("confusions", "confusions", "count")
    found["confusions"] = {"pairs": len(counts), "mistakes": int(counts.sum()), "largest": int(counts.max())}
    return found


def counted(mistakes: list[dict[str, Any]]) -> dict[str, Any]:
    """Mistakes of one model: their number, the share that is plainly wrong, and a table of category by severity."""
    table = Counter((r["category"], r["severity"]) for r in mistakes)
    return {
        "mistakes": len(mistakes),
        "major": share_of(np.array([r["severity"] == MAJOR for r in mistakes])),
        "by_severity": dict(Counter(r["severity"] for r in mistakes)),
        "by_category": {
            category: {severity: n for (c, severity), n in sorted(table.items()) if c == category}
            for category in sorted({c for c, _ in table})
        },
    }


def pasted(rows: Rows) -> dict[str, Any]:
    """Top-1 and multi-label accuracy of one network on the same images, and their difference."""
    labels, predicted = rows.columns("outcomes", PASTED, "label", "prediction", by="id")
    second = rows.column("second_labels", PASTED, "second", by="id")
    valid = [{label, other} - {-1} for label, other in zip(labels.tolist(), second.tolist(), strict=True)]
    annotations = MultiLabels(labels, valid)
    hits, right = annotations.is_hit(predicted), predicted == labels
    two = second >= 0
    return {
        "top1": share_of(right),
        "mla": multi_label_accuracy(predicted, annotations).to_json(),
        "mla_micro": multi_label_accuracy(predicted, annotations, average="micro").to_json(),
        "gain": paired_difference(right, hits).to_json(),
        "errors_that_are_valid": share_of(hits[~right]) if not right.all() else None,
        "two_objects": {"top1": share_of(right[two]), "mla": share_of(hits[two])},
    }


def photos(paper: ImageNetMistakesPaper, rows: Rows) -> dict[str, Any]:
    """Errors of each network, those of the largest that others share, and how close their classes are."""
    nets = [f"{PHOTOS}.{i}" for i in range(len(paper.photo_nets))]
    wrong = np.stack([~rows.correct(net) for net in nets])
    labels, predicted = rows.columns("outcomes", nets[-1], "label", "prediction", by="id")
    largest, others = wrong[-1], wrong[:-1]
    shared = largest & others.any(0)
    found: dict[str, Any] = {
        "accuracy": {str(i): share_of(~w) for i, w in enumerate(wrong)},
        "errors": {str(i): int(w.sum()) for i, w in enumerate(wrong)},
    }
    if largest.any():
        found["shared"] = share_of(shared[largest])
        found["shared_by_all"] = share_of(np.all(others, axis=0, keepdims=True)[0][largest])
    if shared.any():
        found["close"] = share_of(is_close(labels, predicted)[shared])
        found["close_random"] = share_of(is_close(*rows.columns("random_pairs", PHOTOS, "first", "second")))
        found |= confused(rows, labels[shared], predicted[shared])
    return found


def is_close(labels: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> Flags:
    """Whether two classes are near each other in the order of WordNet ids."""
    return np.asarray(np.abs(labels - others) <= NEAR, bool)


def confused(rows: Rows, labels: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The share of errors whose two classes are a pair that the publication released; nothing where that is unknown."""
    ids = {r["id"].removeprefix("class-"): r["wnid"] for r in rows.table("classes", PHOTOS).to_pylist()}
    if not ids or not rows.labels("confusions"):
        return {}
    released = set(rows.table("confusions", "confusions")["id"].to_pylist())
    pairs = [sorted((ids[str(a)], ids[str(b)])) for a, b in zip(labels.tolist(), predicted.tolist(), strict=True)]
    return {"released_confusions": share_of(np.array([" ".join(pair) in released for pair in pairs]))}


def reviewed(rows: Rows) -> dict[str, Any]:
    """The majority's labels of CIFAR-10's reviewed test images."""
    majority, disagrees = rows.columns("votes", REVIEWED, "majority", "disagrees")
    kinds = {"label_wrong": ("guessed", "neither", "both"), "undecided": ("none",), "model_wrong": ("given",)}
    return {
        "reviewed": len(majority),
        "disagreements": int(disagrees.sum()),
        **{name: share_of(np.isin(majority.astype(str), answers)) for name, answers in kinds.items()},
    }

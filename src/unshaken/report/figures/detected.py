"""Figures of detectors, from rows of `scores`: what they separate, at what cost, and how they are evaded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from unshaken import measure
from unshaken.measure.detection.detection import detection
from unshaken.measure.detection.ranking import mean_auroc, mean_difference, of_sets
from unshaken.measure.detection.selective import aurc
from unshaken.measure.statistics.intervals import Figure
from unshaken.report.read.scores import NORMAL, EvasionOutcome, RunScores, Scores

Row = dict[str, Any]

COVARIATE = "covariate"
"""The group of the run's own images under a shift. Whether these should be rejected is for the reader to say."""

BASELINE = "msp"
"""The maximum softmax probability, which every other detector should beat."""

RESAMPLES = 200
"""Bootstrap draws behind each interval that has no formula, so that a dozen detectors take seconds."""

_RANKED = ("auroc", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy")
_AREAS = ("aupr_normal", "aupr_abnormal")


def detected(scores: RunScores, methods: set[str]) -> list[Row]:
    """For each detector how well it separates, what it accepts, what it costs, and how it is evaded.

    Samples without a score are in no figure; they stand in `errors`.

    Args:
        scores: the scores of a run and of those inside it.
        methods: names of the detectors' methods; a label is one of these, with a number where there are several.

    Returns:
        One record a detector; see `detection` in `summary.schema.json`.
    """
    found = [_one(label, sets, scores, methods) for label, sets in scores.sets.items() if NORMAL in sets]
    _compare_within_groups(found, scores)
    return found


def ranking_sets(groups: list[Row]) -> list[Row]:
    """The sets by which detectors are ranked: all that have figures, shifts of the own images only where alone."""
    there = [g for g in groups if g["auroc"]]
    return [g for g in there if g["group"] != COVARIATE] or there


def split_of(group: Row) -> str:
    """The split that a record of `groups` speaks of."""
    return f"{group['group']}/{group['name']}" if group["name"] else str(group["group"])


def _one(label: str, sets: dict[str, Scores], every: RunScores, methods: set[str]) -> Row:
    normal = sets[NORMAL]
    groups = [_group(split, normal, other) for split, other in _in_order(sets)]
    values = np.concatenate([s.values for s in sets.values()])
    accepted = np.concatenate([s.accepted[s.known] for s in sets.values()])
    return {
        "condition": label,
        "method": label if label in methods else re.sub(r"-\d+$", "", label),
        "accept": every.accept.get(label),
        "n": int(normal.known.sum()),
        "accepted": _share(normal, flagged=False),
        "boundary": {  # the scores between which the threshold lies, as far as samples show it
            "accepted_up_to": float(values[accepted].max()) if accepted.any() else None,
            "flagged_from": float(values[~accepted].min()) if not accepted.all() else None,
        },
        "groups": groups,
        "means": [
            {"group": name, "sets": len(own), "auroc": _mean(own, sets), "best": None, "softmax": None}
            for name in dict.fromkeys(g["group"] for g in groups)
            for own in [[g for g in groups if g["group"] == name and g["auroc"]]]
        ],
        "auroc": _mean(ranking_sets(groups), sets),
        "selective": _selective(normal),
        "cost": {
            "forwards": float(normal.forwards.mean()),
            "backwards": float(normal.backwards.mean()),
            "milliseconds": float(1000 * normal.seconds.mean()),
        },
        "attacked": _attacked([a for a in every.attacks if a.detector == label]),
        "errors": [
            {"split": split, "id": name, "reason": reason}
            for split, scores in sets.items()
            for name, reason in scores.errors.items()
        ],
    }


def _in_order(sets: dict[str, Scores]) -> list[tuple[str, Scores]]:
    """The splits besides the normal one; shifts of the own images last."""
    others = [(split, scores) for split, scores in sets.items() if split != NORMAL]
    return sorted(others, key=lambda pair: pair[0].partition("/")[0] == COVARIATE)


def _share(scores: Scores, *, flagged: bool) -> Row | None:
    known, n = scores.known, int(scores.known.sum())
    k = int((scores.accepted[known] != flagged).sum())
    return measure.share(k, n).to_json() if n else None


def _group(split: str, normal: Scores, other: Scores) -> Row:
    group, _, name = split.partition("/")
    head = {"group": group, "name": name, "n": len(other.values)}
    if not len(normal.values) or not len(other.values):
        return {**head, **dict.fromkeys((*_RANKED, *_AREAS, "flagged"))}
    found = detection(normal.values, other.values, resamples=RESAMPLES)
    areas = {k: getattr(found, k) for k in _AREAS}
    return {
        **head,
        **{k: getattr(found, k).to_json() for k in _RANKED},
        **{k: {"figure": a.figure.to_json(), "baseline": a.baseline} for k, a in areas.items()},
        "flagged": _share(other, flagged=True),
    }


def _mean(groups: list[Row], sets: dict[str, Scores]) -> Row | None:
    if not groups:
        return None
    return mean_auroc(of_sets(sets[NORMAL].values, [sets[split_of(g)].values for g in groups])).to_json()


def _selective(normal: Scores) -> Row | None:
    """The classifier that answers where a sample is accepted; None without labels."""
    judged = normal.known & (normal.label >= 0)
    if not judged.any():
        return None
    right, let_in = (normal.prediction == normal.label)[judged], normal.accepted[judged]
    return {
        "n": int(judged.sum()),
        "accuracy": measure.accuracy(right).to_json(),
        "accuracy_accepted": measure.accuracy(right[let_in]).to_json() if let_in.any() else None,
        "aurc": aurc(normal.score[judged], right, resamples=RESAMPLES).to_json(),
    }


def _attacked(examples: list[EvasionOutcome]) -> list[Row]:
    budgets: dict[tuple[str, float], dict[str, EvasionOutcome]] = {}
    for one in examples:
        budgets.setdefault((one.norm, one.eps), {})[one.kind] = one
    return [
        {
            "norm": norm,
            "eps": eps,
            "n": max(len(k.past) for k in kinds.values()),
            **{kind: _past(kinds.get(kind)) for kind in ("naive", "adaptive")},
        }
        for (norm, eps), kinds in sorted(budgets.items())
    ]


def _past(one: EvasionOutcome | None) -> Row | None:
    if one is None or not len(one.past):
        return None
    shares = {"past": one.past, "wrong": one.wrong}
    return {name: measure.share(int(column.sum()), len(column)).to_json() for name, column in shares.items()}


def _compare_within_groups(found: list[Row], scores: RunScores) -> None:
    """Fill in how far each detector is from the best of each group, and from the softmax baseline, paired.

    The intervals of all differences from the best hold together at 95 %, and so do those from the baseline.
    """
    groups: dict[str, list[tuple[Row, Row]]] = {}
    for record in found:
        for mean in record["means"]:
            if mean["auroc"]:
                groups.setdefault(mean["group"], []).append((record, mean))
    pairs: dict[str, list[tuple[Row, Row, Row]]] = {"best": [], "softmax": []}
    for members in groups.values():
        best = max(members, key=lambda pair: float(pair[1]["auroc"]["value"]))[0]
        softmax = next((record for record, _ in members if record["method"] == BASELINE), None)
        for key, other in (("best", best if len(members) > 1 else None), ("softmax", softmax)):
            if other is None:
                continue
            for record, mean in members:
                mean[key] = {"detector": other["condition"], "difference": None}
                if record is not other:
                    pairs[key].append((record, other, mean))
    for key, some in pairs.items():
        for record, other, mean in some:
            gap = _difference(record, other, mean["group"], scores, level=1 - 0.05 / len(some))
            mean[key]["difference"] = gap and gap.to_json()


def _difference(one: Row, other: Row, group: str, scores: RunScores, *, level: float) -> Figure | None:
    """The mean AUROC of a group less that of another detector, in pairs of the samples that both have scores of."""
    ours, theirs = (scores.sets[r["condition"]] for r in (one, other))
    normal = _common(ours[NORMAL], theirs[NORMAL])
    splits = [s for s in ours if s in theirs and s.partition("/")[0] == group]
    pairs = [p for s in splits if len((p := _common(ours[s], theirs[s]))[0])]
    if not pairs or not len(normal[0]):
        return None
    sides = [of_sets(normal[i], [p[i] for p in pairs]) for i in (0, 1)]
    return mean_difference(sides[1], sides[0], level=level)[0]


def _common(a: Scores, b: Scores) -> tuple[Any, Any]:
    """The scores of both detectors of the samples that have both."""
    _, i, j = np.intersect1d(a.ids, b.ids, return_indices=True)
    both = a.known[i] & b.known[j]
    return a.score[i][both], b.score[j][both]

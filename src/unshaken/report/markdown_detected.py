"""The part of `report.md` on detectors."""

from __future__ import annotations

from typing import Any

from unshaken.report import detect_view, wording
from unshaken.report.markdown_text import escape, table

Row = dict[str, Any]


def detected_parts(data: Row) -> list[str]:
    """All detectors beside each other, each set by itself, and who gets past; nothing without detectors."""
    if not data["detection"]:
        return []
    detectors = detect_view.by_auroc(data)
    parts = [
        f"## Who is turned away at the door\n\n{escape(detect_view.headline(data))} {detect_view.promise(data)}",
        _together(detectors),
    ]
    sets = detect_view.sets_of(data)
    if sets:
        parts.append(detect_view.FPR)
    parts += [_set(group, detectors) for group in sets]
    parts += [_bout(bout) for bout in detect_view.bouts(data)]
    wrong = [
        f"{escape(d['condition'])}: {len(d['errors'])} scores are no number and in no figure, the first of "
        f"{escape(d['errors'][0]['id'])}"
        for d in detectors
        if d["errors"]
    ]
    return parts + wrong


def _together(detectors: list[Row]) -> str:
    head = ["detector", "AUROC", *(escape(m["group"]) for m in detectors[0]["means"])]
    head += ["behind the best, points", "normal let in", "right of the let in", "time", "further passes"]
    rows = [
        [
            escape(d["condition"]),
            _share(d["auroc"]),
            *(_share(m["auroc"]) for m in d["means"]),
            escape(detect_view.beside_best(d)),
            _share(d["accepted"]),
            _share(d["selective"] and d["selective"]["accuracy_accepted"]),
            detect_view.milliseconds(d["cost"]["milliseconds"]),
            escape(detect_view.passes(d["cost"])),
        ]
        for d in detectors
    ]
    return table(head, rows)


def _set(group: Row, detectors: list[Row]) -> str:
    keys = ("auroc", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy", "flagged")
    rows = [
        [escape(d["condition"]), *(_share(own[k]) for k in keys)]
        for d in detectors
        if (own := detect_view.at_set(d, group)) is not None
    ]
    head = ["detector", "AUROC", "FPR@95: let in", "FPR@95: false alarms", "best accuracy", "turned away"]
    return f"### {escape(detect_view.set_name(group))}\n\n" + table(head, rows)


def _bout(bout: detect_view.Bout) -> str:
    rows = [
        [escape(name), *(_share(kind and kind["past"]) for kind in (naive, adaptive))]
        for name, naive, adaptive in bout.rows
    ]
    head = ["detector", "naive", "adaptive"]
    return f"### Gets past within {escape(bout.name)}, of {bout.n}\n\n" + table(head, rows)


def _share(figure: Row | None) -> str:
    return "–" if figure is None else f"{wording.percent(figure['value'])} ({wording.span(figure)})"

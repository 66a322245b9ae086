"""The first sentences and the large numbers of a report: the strongest informative condition, and what goes beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.attack.engine.attack_run import UNFINISHED
from unshaken.measure import compare
from unshaken.report import cells, wording
from unshaken.report.blocks import Span, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.read.frame import Frame
from unshaken.report.sections import Report

Data = Mapping[str, Any]


def headline(frame: Frame, data: Mapping[str, Any], classes: int) -> Row | None:
    """Choose the headline of a run.

    An accuracy of nought says no more than that the change was too strong. So the headline is the lowest figure that is
    informative: its interval lies above chance and below the figure of the unchanged images. What lies no better than
    chance stands beside it as `collapse`, at the weakest strength of the most damaging method that does so.

    Args:
        frame: outcomes of the run.
        data: `clean` and `conditions` of `summary.json`.
        classes: number of classes of the model; 0 where it is not known.

    Returns:
        `headline` of `summary.json`; None without conditions.
    """
    rows = [r for r in cells.changes_of(data) if cells.metric(r)]
    if not rows:
        return None
    top, chance = data["clean"]["value"] if data["clean"] else 1.0, 1 / classes if classes else 0.0
    row = strongest(rows, top, chance)
    collapsed = [r for r in rows if (figure := cells.metric(r)) and figure["low"] <= chance]
    weakest = None
    if collapsed:
        worst = cells.worst_of(collapsed) or collapsed[0]
        same = [r for r in collapsed if (r["method"], r["norm"]) == (worst["method"], worst["norm"])]
        weakest = min(same, key=lambda r: float(r.get("eps") or r.get("severity") or 0.0))
    return {
        "chance": chance,
        "condition": row and row["condition"],
        "difference": row and data["clean"] and _difference(frame, row["condition"]),
        "collapse": weakest and str(weakest["condition"]),
    }


def strongest(rows: Sequence[Row], top: float, chance: float) -> Row | None:
    """The condition with the lowest informative figure; None where none is informative.

    Args:
        rows: conditions of `summary.json`.
        top: figure of the unchanged images, in [0, 1].
        chance: figure of a model that guesses, in [0, 1].
    """

    def informative(figure: Row) -> bool:
        return bool(figure["low"] > chance and figure["high"] < top)

    return cells.worst_of([r for r in rows if informative(cells.metric(r) or {"low": 0, "high": 0})])


def _difference(frame: Frame, condition: str) -> Row | None:
    """Accuracy under a condition minus that of the unchanged images, paired."""
    clean, changed = frame.right[:, 0], frame.right[:, frame.column(condition)]
    known = (clean >= 0) & (changed >= 0)
    return compare(clean[known] == 1, changed[known] == 1).difference.to_json() if known.any() else None


def lead(report: Report) -> list[Text]:
    """Searches that did not finish, accuracy on unchanged images, the headline, where everything falls, other runs."""
    data = report.data
    unfinished = [
        Span(f"{wording.flag_text(f['detail'])}.", "bad") for f in data["flags"] if f["name"] == UNFINISHED.name
    ]
    sentences = [*unfinished, _unchanged(report), *_changes(data), *_every_change(data)]
    pairs = [(o.name, o.comparison) for o in report.others if o.comparison]
    compared = [
        ("Compared with ", Span(n, "strong"), f" on the same {cells.counted(c.n, 'image')}: {c.verdicts}.")
        for n, c in pairs
    ]
    return [*sentences, *compared]


def tiles(data: Data) -> list[Tile]:
    """Unchanged images, the strongest natural change and attack, and all changes, as far as there are any."""
    clean, rows, found = data["clean"], cells.changes_of(data), list[Tile]()
    if clean:
        found.append(
            Tile(
                f"{'base network, ' if _beside_certified(data) else ''}unchanged images",
                wording.percent(clean["value"]),
                wording.span(clean),
            )
        )
    found += _tile("natural change", [r for r in rows if not cells.is_attack(r)], data)
    found += _tile("attack", [r for r in rows if cells.is_attack(r)], data)
    least = data["aggregates"].get("worst_case")
    if least and len(rows) > 1:
        title = f"correct under all {len(rows)} changes"
        found.append(Tile(title, wording.percent(least["value"]), wording.span(least), bad=True))
    return found


def _beside_certified(data: Data) -> bool:
    """Whether certificates of another classifier, such as a smoothed one, stand beside the figures of the network."""
    return any(one["base"] for one in data["certified"])


def _unchanged(report: Report) -> Text:
    data, clean = report.data, report.data["clean"]
    source = Span(data["provenance"]["data"], "code")
    if not clean:
        about = "have no labels: figures say how often the prediction stays what it was on the unchanged image."
        return (f"The {data['provenance']['evaluated']} images of ", source, f" {about}")
    chance = (data["headline"] or {"chance": 0.0})["chance"]
    poor = ", which is no better than guessing" if clean["low"] <= chance else ""
    value = Span(wording.percent(clean["value"]), "strong")
    text = f" ({wording.span(clean)}){poor}."
    about, who = data["provenance"], "of the base network " if _beside_certified(data) else ""
    notes = ["classes taken by position" if about["by_position"] else "", about["within"]]
    scope = "".join(f", {note}," for note in notes if note)
    count = cells.counted(clean["n"], "unchanged image")
    return (f"The accuracy {who}on {count} of ", source, f"{scope} is ", value, text)


def _changes(data: Data) -> list[Text]:
    """The headline, the worst change without an attacker where it is another, and the collapse."""
    found, one, clean = list[Text](), data["headline"], data["clean"]
    if one is None:
        return found
    at = {r["condition"]: r for r in cells.changes_of(data)}
    shown, fallen = at.get(one["condition"]), at.get(one["collapse"])
    if shown:
        found.append(_strongest(shown, one["difference"]))
    elif not fallen:
        found.append(_mild(data))
    natural = _worst([r for r in at.values() if not cells.is_attack(r)], data)
    if natural and natural not in (shown, fallen):
        name, value = Span(wording.condition_name(natural), "strong"), _percent(natural)
        left = f" lowers it most: to {value}." if clean else f" changes most: {value} stay the same."
        found.append(("Of the changes that need no attacker, ", name, left))
    if fallen:
        found.append(_collapse(fallen, one["chance"], labelled=bool(clean)))
    return found


def _strongest(row: Row, difference: Row | None) -> Text:
    name, value = Span(wording.condition_name(row), "strong"), Span(_percent(row), "strong")
    if difference is None:
        return ("Under ", name, " ", value, " of the predictions stay the same.")
    lost = cells.points({k: -difference[other] for k, other in _TURNED.items()})
    interval = lost.interval.replace("+", "")
    return (name, f" takes {str(lost.text).lstrip('+')} points ({interval}): ", value, " are left.")


_TURNED = {"value": "value", "low": "high", "high": "low"}


def _mild(data: Data) -> Text:
    row = cells.worst_of(cells.changes_of(data)) or {}
    start = "It is lowest under " if data["clean"] else "Predictions change most under "
    end = ", which chance alone may explain." if data["clean"] else " stay the same."
    return (start, Span(wording.condition_name(row), "strong"), ": ", Span(_percent(row), "strong"), end)


def _collapse(row: Row, chance: float, *, labelled: bool) -> Text:
    name = Span(wording.condition_name(row), "strong")
    if not labelled:
        return ("Under ", name, f" only {_percent(row)} stay the same.")
    guess = (
        f", no better than guessing, which gives {wording.percent(chance)} with {round(1 / chance)} classes"
        if chance
        else ""
    )
    return ("At ", name, f" it is left with {_percent(row)}{guess}.")


def _every_change(data: Data) -> list[Text]:
    least, rows = data["aggregates"].get("worst_case"), cells.changes_of(data)
    if not least or len(rows) < 2 or (data["headline"] or {}).get("collapse"):
        return []
    share = f"{wording.percent(least['value'])} ({wording.span(least)})"
    return [f"{share} of the images are classified correctly under every change."]


def _tile(kind: str, rows: Sequence[Row], data: Data) -> list[Tile]:
    row, least = _worst(rows, data), cells.worst_of(rows)
    if row is None or least is None:
        return []
    below = "" if row is least else f"; {_percent(least)} under {wording.condition_name(least)}"
    title = f"worst {kind}" if row is least else f"under {kind}"
    return [Tile(title, _percent(row), f"{wording.condition_name(row)}{below}", bad=True)]


def _worst(rows: Sequence[Row], data: Data) -> Row | None:
    """The strongest informative condition, or where none is the one with the lowest figure."""
    clean, chance = data["clean"], (data["headline"] or {"chance": 0.0})["chance"]
    return strongest(rows, clean["value"] if clean else 1.0, chance) or cells.worst_of(rows)


def _percent(row: Row) -> str:
    return wording.percent((cells.metric(row) or {"value": None})["value"])

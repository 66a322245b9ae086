"""Detectors: how well scores separate abnormal images, what is accepted at the threshold, and attacks on detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.core.numbers import show_budget
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Details, Heading, Items, Prose, Span, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.drawings import Plots
from unshaken.report.figures.detected import COVARIATE, detected
from unshaken.report.read.scores import RunScores, read_scores
from unshaken.report.sections import Report, Section, SectionFigures, Source, _detectors
from unshaken.report.sections._detectors import (
    at_set,
    by_auroc,
    front,
    galleries,
    group_name,
    milliseconds,
    passes,
    promise,
    set_name,
    sets_of,
)

_ERRORS = 5
"""Samples without a score that are named, a detector."""
FPR = (
    "Two figures are called FPR@95. “Accepted” is the share of abnormal images accepted where 95 % of the normal are "
    "accepted; “false alarms” is the share of normal images rejected where 95 % of the abnormal are rejected."
)


class DetectSection(Section):
    """Section on detectors of abnormal inputs: separation, acceptance and cost."""

    name = "detect"
    table = "scores"
    order = 9
    empty = {"detection": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        scores = read_scores(source.run, source.config)
        records = detected(scores, source.methods.in_room("detect"))
        return SectionFigures({"detection": records}, scores.notes, scores.whole, scores)

    @override
    def question(self, report: Report) -> str:
        name = report.source.config.model_name
        return f"Would it notice? Detectors of abnormal inputs for {name}" if report.data["detection"] else ""

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        return _noticed(report.data)

    @override
    def following(self, report: Report) -> Text:
        detection = report.data["detection"]
        if not detection or any(one["attacked"] for one in detection):
            return ""
        option = Span("--not-attacked", "code")
        return (
            "an attacker may know the detector: without ",
            option,
            ", it is attacked together with the model.",
        )

    @override
    def lines(self, report: Report) -> Sequence[Text]:
        return _detectors.group_lines(report.data)

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        data, found = report.data, list[Tile]()
        for group, members in _detectors.group_means(data).items():
            detector, mean = members[0]
            area, name = mean["auroc"], detector["condition"]
            among = f", best of {len(members)}" if len(members) > 1 else ""
            under = f"{area['low']:.3f} to {area['high']:.3f}; {name}{among}"
            title = f"AUROC: how often {group_name(group)} images score above normal ones, 0 to 1"
            found.append(Tile(title, f"{area['value']:.3f}", under, bad=area["value"] < cells.COIN))
        first = by_auroc(data)[:1]
        attacked = [one for detector in first for one in detector["attacked"] if one["adaptive"]]
        worst = max(attacked, key=lambda one: float(one["adaptive"]["past"]["value"]), default=None)
        if worst:
            under = f"{first[0]['condition']}, {budget_name(worst['norm'], worst['eps'])}"
            value = wording.percent(worst["adaptive"]["past"]["value"])
            found.append(Tile("attacks that evade model and detector", value, under, bad=True))
        return [*_accepted(first), *found]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        data, scores = report.data, report.kept[self.name]
        if not data["detection"]:
            return ()
        detectors, sets = by_auroc(data), sets_of(data)
        found: list[Block] = [
            Heading("Input screening: detectors", "detectors", "Detectors"),
            Prose(promise(data)),
            _together(detectors, front(data) if len(detectors) > 1 else set()),
            Prose(_cost_note(sets), "small"),
        ]
        if plot := _detectors.front_plot(data):
            found.append(Plots((plot,)))
        if (table := _detectors.differences(data)) is not None:
            found.append(Details("How the detectors differ in each group", (table,)))
        if sets:
            tables = tuple(_set_table(group, detectors) for group in sets)
            found.append(Details("Each set by itself", (Prose(FPR, "small"), *tables), open=len(detectors) == 1))
        found += [Details("At the threshold", (_threshold_table(detectors, sets),)), *_errors(detectors)]
        return [*found, *_score_plots(data, scores), *evasion(data), *galleries(report, scores)]


def _noticed(data: Mapping[str, Any]) -> list[Text]:
    """The set that the best detector notices least at its threshold."""
    for best in by_auroc(data)[:1]:
        own = [(one["flagged"], set_name(group)) for group in sets_of(data) if (one := at_set(best, group))]
        known = [(flagged, name) for flagged, name in own if flagged]
        if best["accepted"] and known:
            accepted = f"{wording.percent(best['accepted']['value'])} ({wording.span(best['accepted'])})"
            flagged, name = min(known, key=lambda pair: float(pair[0]["value"]))
            least = f", which it notices least of {len(known)} sets" if len(known) > 1 else ""
            return [
                (
                    f"At its threshold {best['condition']} rejects ",
                    Span(wording.percent(flagged["value"]), "strong"),
                    f" ({wording.span(flagged)}) of {name}{least}, and accepts {accepted} of the normal images.",
                )
            ]
    return []


def _accepted(detectors: Sequence[Row]) -> list[Tile]:
    return [
        Tile(
            "normal images accepted",
            wording.percent(one["accepted"]["value"]),
            f"{one['condition']}, {wording.span(one['accepted'])}",
        )
        for one in detectors
        if one["accepted"]
    ]


def _together(detectors: list[Row], ahead: set[str]) -> Table:
    several, rated = len(detectors) > 1, any(d["auroc"] for d in detectors)
    if not rated:
        return _unrated(detectors)
    caption = "AUROC, the probability that an abnormal image scores above a normal one: 0.5 is a coin, below it the "
    caption += "ranking is the wrong way round. Unweighted means over the sets of a group; intervals are 95 %."
    caption += " ◆ No other detector is both better and faster." if ahead else ""
    means = detectors[0]["means"]
    heads = cells.columns(
        "detector",
        cells.aside("AUROC, all groups"),
        *(
            Column(f"AUROC, {group_name(m['group'])}", f"mean of {m['sets']} sets" if m["sets"] > 1 else "")
            for m in means
        ),
        "normal accepted",
        "time",
        cells.aside("further passes"),
    )
    rows = []
    for number, one in enumerate(detectors, 1):
        mark = " ◆" if one["condition"] in ahead else ""
        rows.append(
            (
                f"{number}. {one['condition']}{mark}" if several else one["condition"],
                cells.auroc(one["auroc"]),
                *(cells.auroc(m["auroc"]) for m in one["means"]),
                cells.share(one["accepted"]),
                milliseconds(one["cost"]["milliseconds"]),
                passes(one["cost"]),
            )
        )
    return Table(caption, heads, tuple(rows), brief=True)


def _unrated(detectors: list[Row]) -> Table:
    heads = cells.columns("detector", "normal accepted", "time", cells.aside("further passes"))
    rows = tuple(
        (d["condition"], cells.share(d["accepted"]), milliseconds(d["cost"]["milliseconds"]), passes(d["cost"]))
        for d in detectors
    )
    return Table("Share of the normal images that each detector accepts; intervals are 95 %.", heads, rows, brief=True)


def _cost_note(sets: list[Row]) -> str:
    text = "Time and passes are those of a normal image, beyond the one pass that all detectors share; passes are "
    text += "forward + backward."
    kinds = {g["group"] for g in sets}
    if COVARIATE in kinds and len(kinds) > 1:
        text += " The column AUROC leaves out the group shift: the same images under a shift, which an input "
        text += "screening may well accept."
    return text


def _set_table(group: Row, detectors: list[Row]) -> Table:
    heads = ("AUROC", "FPR@95: accepted", "FPR@95: false alarms", "AUPR abnormal", "AUPR normal", "best accuracy")
    rows = [
        (
            one["condition"],
            cells.auroc(own["auroc"]),
            *(cells.share(own[k]) for k in ("fpr95_id_accept", "fpr95_ood_recall")),
            *(_area(own[k]) for k in ("aupr_abnormal", "aupr_normal")),
            *(cells.share(own[k]) for k in ("detection_accuracy", "flagged")),
        )
        for one in detectors
        if (own := at_set(one, group)) is not None
    ]
    caption = f"{set_name(group)}: {cells.counted(group['n'], 'image')}"
    return Table(caption, cells.columns("detector", *heads, "rejected"), tuple(rows))


def _area(one: Row | None) -> Cell:
    if one is None:
        return Cell("")
    share = cells.share(one["figure"])
    return Cell(share.text, share.interval, f"by chance {wording.percent(one['baseline'])}")


def _threshold_table(detectors: list[Row], sets: list[Row]) -> Table:
    labelled = any(d["selective"] for d in detectors)
    caption = "Share of normal images accepted; share of each set rejected"
    if labelled:
        caption += "; the model's accuracy on all normal images and on those accepted; the AURC is its mean error as "
        caption += "more and more are accepted, the most normal first"
    heads = cells.columns(
        "detector",
        "accepted: normal",
        *(Column(f"rejected: {wording.method_name(g['name'] or g['group'])}", g["group"]) for g in sets),
        *(("accuracy of all", "accuracy of the accepted", "AURC") if labelled else ()),
    )
    rows = []
    for one in detectors:
        selective = one["selective"] or dict.fromkeys(("accuracy", "accuracy_accepted", "aurc"))
        own = [at_set(one, group) for group in sets]
        more = (cells.share(selective["accuracy"]), cells.share(selective["accuracy_accepted"]))
        rows.append(
            (
                one["condition"],
                cells.share(one["accepted"]),
                *(cells.share(g and g["flagged"]) for g in own),
                *((*more, cells.value(selective["aurc"])) if labelled else ()),
            )
        )
    return Table(f"{caption}.", heads, tuple(rows))


def _errors(detectors: list[Row]) -> list[Block]:
    wrong = sum(len(d["errors"]) for d in detectors)
    if not wrong:
        return []
    items = list[Text]()
    for one in detectors:
        pieces: list[str | Span] = [f"{one['condition']}: "]
        for error in one["errors"][:_ERRORS]:
            pieces += [Span(error["id"], "code"), f" of {error['split']}, {error['reason']}; "]
        more = len(one["errors"]) - _ERRORS
        if one["errors"]:
            items.append((*pieces, f"and {more} more in summary.json" if more > 0 else ""))
    text = f"{wrong} {'score is' if wrong == 1 else 'scores are'} no number; these samples are in no figure:"
    return [Prose(text, "bad"), Items(tuple(items))]


def _score_plots(data: Mapping[str, Any], scores: RunScores) -> list[Block]:
    found = list[Block]()
    if densities := _detectors.densities(data, scores):
        which = ", for the best detector and others that are fast or close"
        text = (
            "Share of images at each score, of normal images (filled) and of each set"
            f"{which if len(data['detection']) > len(densities) else ''}. What lies right of the threshold is "
            "rejected; scores beyond the axis are counted at its ends."
        )
        found += [Heading("Distribution of the scores", level=3), Prose(text, "small"), Plots(tuple(densities), "half")]
    if curves := _detectors.curves(data, scores):
        text = (
            "Per cent of each set rejected (upwards) against the per cent of normal images rejected with it, at every "
            "threshold; the axis is logarithmic, the shade the 95 % interval at each rate."
        )
        sets = len(sets_of(data))
        if sets > len(curves):
            text += f" The first {len(curves)} of {sets} sets are drawn; all figures are in the tables."
        found.append(Details("ROC curves", (Prose(text, "small"), Plots(tuple(curves), "half"))))
    return found


def evasion(data: Mapping[str, Any]) -> list[Block]:
    """The detectors under attack, one table a budget, the lowest adaptive share first."""
    budgets: dict[tuple[str, float], list[tuple[str, Row]]] = {}
    for detector in data["detection"]:
        for one in detector["attacked"]:
            budgets.setdefault((one["norm"], one["eps"]), []).append((detector["condition"], one))
    if not budgets:
        return []

    def evaded(member: tuple[str, Row]) -> float:
        return float((member[1]["adaptive"] or member[1]["naive"] or {"past": {"value": 1.0}})["past"]["value"])

    text = (
        "Images changed within a budget so that the model gives a wrong class and the detector accepts them. The "
        "naive figure takes examples made for the model alone; the adaptive one attacks model and detector together. "
        "Only the adaptive figure says what the detector withstands, and it is a lower bound of what an attacker can "
        "do."
    )
    found: list[Block] = [Heading("Attacks on the detectors", level=3), Prose(text)]
    for (norm, eps), members in budgets.items():
        n = max(one["n"] for _, one in members)
        rows = [
            cells.line(
                name, *(cells.share(one[k] and one[k]["past"], bar=True, bad=True) for k in ("naive", "adaptive"))
            )
            for name, one in sorted(members, key=evaded)
        ]
        title = f"{budget_name(norm, eps)}: share of {cells.counted(n, 'attacked image')} that evade model and detector"
        head = cells.columns(f"evade, {budget_name(norm, eps)}", "naive", "adaptive")
        found.append(Table(title, head, tuple(rows), "narrow", brief=True))
    return found


def budget_name(norm: str, eps: float) -> str:
    """A budget for people: `L∞, ε 8/255`."""
    return f"{wording.NORMS.get(norm, norm)}, ε {show_budget(eps)}"


section = DetectSection()

"""Attacks: what each stage of each attack broke, robust accuracy against passes and against eps, nearest examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.core.numbers import show_budget
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Details, Group, Heading, Prose, Span, Table, Text
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures import plots
from unshaken.report.figures.attacks import attacks, distances, minimal_norms, together
from unshaken.report.sections import Report, Section, SectionFigures, Source, examples

Data = Mapping[str, Any]
DRAWN = 2
"""Plots of robust accuracy against passes that are open."""


class AttackSection(Section):
    """Section on attacks, stage by stage."""

    name = "attack"
    task = "classification"
    order = 20

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame, run = source.frame, source.run
        far = distances(frame, run)
        data = {
            "attacks": attacks(frame, run),
            "minimal_norms": minimal_norms(frame, run, far),
            "norms": together(frame, far),
        }
        return SectionFigures(data)

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        data = report.data
        shown = examples.galleries(report, cells.is_attack)
        if not (data["attacks"] or data["minimal_norms"] or shown):
            return ()
        found: list[Block] = [Heading("Attacks", "attacks", "Attacks"), Prose(opening(data))]
        norms = {one["norm"] for one in (*data["attacks"], *data["minimal_norms"])}
        found += [Prose(text, "small")] if (text := wording.meaning_of_eps(norms)) else []
        found += _passes_blocks(tradeoffs(data))
        found += [_stages_table(data["attacks"])] if data["attacks"] else []
        found += _eps_blocks(data, by_eps(data))
        if data["minimal_norms"]:
            found += [Heading("Nearest examples", level=3), _nearest_table(data["minimal_norms"])]
        if shown:
            text = (
                "For each attack the images that it changed for the worse most: correct before and wrong now, by the "
                f"rise of the loss; of nearest examples the nearest. {examples.AROUND}"
            )
            found += [Heading("Adversarial examples", level=3), Prose(text, "small"), *shown]
        return found


def opening(data: Data) -> Text:
    """Opening sentences: what an attack proves, and the stages of the headline's attack."""
    text = "Accuracy under an attack is an upper bound of the robust accuracy: a stronger attack may break more."
    one = headline(data)
    if one is None:
        return text
    last = one["turns"][-1]
    passes = wording.number(one["passes_before"] + last["passes_per_sample"])
    left = f"{wording.percent(last['accuracy']['value'])} are left after {passes} passes a sample."
    return (f"{text} ", Span(wording.condition_name(one), "strong"), f": {broken_by_stage(one)}. {left}")


def headline(data: Data) -> Row | None:
    """The attack whose stages stand in a sentence: the one with most, then the strongest."""
    several = [a for a in data["attacks"] if len(a["turns"]) > 1]
    return max(several, key=lambda a: (len(a["turns"]), -a["turns"][-1]["accuracy"]["value"]), default=None)


def broken_by_stage(attack: Row) -> str:
    """Images broken by each stage: `apgd-ce broke 7 of 54, apgd-t 2 more; fab-t broke none; square not run`."""
    words = list[str]()
    for turn in attack["turns"]:
        if turn["broken"]:
            first = f"{turn['attack']} broke {turn['broken']} of {turn['standing']}"
            words.append(f"{turn['attack']} {turn['broken']} more" if words else first)
    idle = [t["attack"] for t in attack["turns"] if not t["broken"] and _ran(t)]
    unrun = [t["attack"] for t in attack["turns"] if not _ran(t)]
    parts = [", ".join(words)] if words else []
    parts += [f"{cells.listed(idle)} broke none"] if idle else []
    return "; ".join([*parts, f"{cells.listed(unrun)} not run"] if unrun else parts)


def _ran(turn: Row) -> bool:
    """Whether a stage made a pass; one that was left out, or found nothing left to attack, made none."""
    return bool(turn["forwards"] + turn["backwards"])


def _stages_table(attacks_: Sequence[Row]) -> Table:
    caption = (
        "Each stage of each attack: the images it attacked and broke, the accuracy over all images after it, forward "
        "and backward passes a sample so far, and the time of the stage."
    )
    heads = ("attacked", "broken", "accuracy after it", "passes so far", "time")
    rows: list[Group | tuple[Cell | Text, ...]] = []
    for attack in attacks_:
        before, name = attack["passes_before"], wording.condition_name(attack)
        after = f", after {wording.number(before)} passes within smaller ε" if before else ""
        rows.append(Group((f"{name} ", Span(f"from {wording.percent(attack['before']['value'])}{after}", "soft"))))
        for number, turn in enumerate(attack["turns"], 1):
            passes = wording.number(before + turn["passes_per_sample"])
            stage = Cell(f"{number}. {turn['attack']}", note=turn["why"])
            if not _ran(turn):
                rows.append((stage, "not run", "", cells.share(turn["accuracy"]), passes, ""))
                continue
            counts = (str(turn["standing"]), str(turn["broken"]))
            rows.append((stage, *counts, cells.share(turn["accuracy"]), passes, wording.seconds(turn["seconds"])))
    return Table(caption, cells.columns("stage", *heads), tuple(rows), brief=True)


def _nearest_table(rows: Sequence[Row]) -> Table:
    caption = (
        "How far the nearest misclassified image is from the unchanged one, of images that are classified correctly "
        "when unchanged. The median counts an unbroken image as infinitely far; “of the broken” leaves these out."
    )
    distances = ("median", "median_of_broken", "mean_of_broken")
    heads = ["broken", "median distance", "median of the broken", "mean of the broken", "passes a sample"]
    if several := any("optimality" in row for row in rows):
        caption += (
            " Optimality compares an attack's curve with that of the nearest example that any attack of its norm here "
            "found, by area: 1 where none is nearer, 0 where it breaks nothing as far as the best need to go."
        )
        heads.insert(1, "optimality")
    lines = tuple(
        cells.line(
            wording.series_name(row),
            cells.share(row["success"]),
            *([cells.value(row.get("optimality"))] if several else []),
            *(cells.value(row[k]) for k in distances),
            wording.number(row["passes_per_sample"]),
        )
        for row in rows
    )
    return Table(caption, cells.columns("attack", *heads), lines, brief=True)


# Robust accuracy against passes.


def _passes_blocks(drawn: Sequence[Plot]) -> list[Block]:
    if not drawn:
        return []
    text = (
        "Accuracy over all images after each stage, in per cent, with its 95 % interval; the numbers are those of the "
        "table. Images that a smaller ε broke stay broken, so a line starts where the smaller ε of its attack ended."
    )
    found: list[Block] = [Heading("Robust accuracy against passes", level=3), Prose(text, "small")]
    found.append(Plots(tuple(drawn[:DRAWN])))
    if more := drawn[DRAWN:]:
        found.append(Details(cells.counted(len(more), "more budget"), (Plots(tuple(more)),)))
    return found


def tradeoffs(data: Data) -> list[Plot]:
    """Robust accuracy against passes, one plot a budget that shows two marks or more; those with most marks first."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for attack in data["attacks"]:
        if attack["eps"] is not None:
            groups.setdefault((attack["norm"], round(attack["eps"], 12)), []).append(attack)
    shown = [g for g in groups.values() if sum(len(a["turns"]) for a in g) > 1]
    shown.sort(key=lambda g: -sum(len(a["turns"]) for a in g))
    return [_tradeoff(sorted(g, key=lambda a: -len(a["turns"]))) for g in shown]


def _tradeoff(attacks_: list[Row]) -> Plot:
    spent = [a["passes_before"] + t["passes_per_sample"] for a in attacks_ for t in a["turns"]]
    place, ticks = plots.passes_axis(min(spent), max(spent))
    traces, words = [], []
    for style, attack in enumerate(attacks_):
        marks = []
        for turn in attack["turns"]:
            passes = attack["passes_before"] + turn["passes_per_sample"]
            value = wording.percent(turn["accuracy"]["value"])
            text = f"{turn['attack']}: {value} left, {wording.number(passes)} passes"
            marks.append(plots.point(place(passes), turn["accuracy"], text, turn["attack"]))
        start = (round(place(attack["passes_before"]), 2), plots.down(attack["before"]["value"]))
        name = wording.series_name(attack)
        traces.append(plots.stairs(name, style, start, marks))
        words.append(f"{name} from {wording.percent(attack['before']['value'])}: " + ", ".join(m.text for m in marks))
    norm = wording.NORMS.get(attacks_[0]["norm"], attacks_[0]["norm"])
    name = f"{norm}, ε {show_budget(attacks_[0]['eps'])}"
    axis = "forward and backward passes a sample so far"
    level = plots.down(attacks_[0]["clean"]["value"])
    return Plot(name, axis, ticks, plots.labelled(traces), level, f"{name}. {'; '.join(words)}", numbered=True)


# Robust accuracy against eps.


def _eps_blocks(data: Data, drawn: Sequence[Plot]) -> list[Block]:
    halves = [
        f"In {wording.NORMS.get(n['norm'], n['norm'])} half of the images that are classified correctly when unchanged "
        f"are broken within ε {_eps(n, 'value')} ({_eps(n, 'low')} to {_eps(n, 'high')})."
        for n in data["norms"]
        if n["median"]
    ]
    if not drawn and not halves:
        return []
    text = "Images that are classified correctly and not broken within ε, in per cent of all; the shade is the 95 % "
    text = f"{text}interval of the first line. " if drawn else ""
    found: list[Block] = [Heading("Robust accuracy against ε", level=3), Prose(text + " ".join(halves), "small")]
    return [*found, Plots(tuple(drawn))] if drawn else found


def _eps(norm: Row, end: str) -> str:
    """An end of the median ε of a norm; one that is unbounded is infinite."""
    value = norm["median"][end]
    return "∞" if value is None else wording.distance(value, norm["norm"])


def by_eps(data: Data) -> list[Plot]:
    """Robust accuracy against eps, one plot a norm that has two strengths or more: all attacks together, and each."""
    found = []
    for norm in data["norms"]:
        minimal = [m for m in data["minimal_norms"] if m["norm"] == norm["norm"]]
        known = {m["condition"] for m in minimal}
        series = [b for b in data["budgets"] if b["norm"] == norm["norm"] and b["series"] not in known]
        if not minimal and all(len(b["eps"]) < 2 for b in series):
            continue
        start = {"eps": 0.0, "accuracy": norm["clean"]}
        lines = [(f"{wording.method_name(wording.label_of(m))}, nearest examples", m["curve"], False) for m in minimal]
        for one in series:
            values = [{"eps": e, "accuracy": f} for e, f in zip(one["eps"], one["robust_accuracy"], strict=True)]
            lines.append((wording.method_name(one["attack"]), [start, *values] if len(values) > 1 else values, True))
        if len(lines) > 1:
            lines.insert(0, ("all attacks together", norm["curve"], False))
        found.append(_eps_plot(norm, lines))
    return found


def _eps_plot(norm: Row, lines: list[tuple[str, list[Row], bool]]) -> Plot:
    place, ticks = plots.linear_axis(max(p["eps"] for _, values, _ in lines for p in values) or 1.0)
    traces, words = [], list[str]()
    for style, (name, values, marked) in enumerate(lines):
        texts = [f"ε {show_budget(p['eps'])} {wording.percent(p['accuracy']['value'])}" for p in values]
        marks = [
            plots.point(place(p["eps"]), p["accuracy"], f"{name}, {t}") for p, t in zip(values, texts, strict=True)
        ]
        traces.append(plots.curve(name, style, marks, band=style == 0, marked=marked))
        words.append(f"{name}: " + ", ".join(texts[:: max(1, len(values) // 6)]))
    about = wording.NORMS.get(norm["norm"], str(norm["norm"]))
    level = plots.down(norm["clean"]["value"])
    return Plot(about, f"ε ({about})", ticks, tuple(traces), level, f"{about}. {'; '.join(words)}")


section = AttackSection()

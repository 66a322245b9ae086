"""Pages that lay out the figures of runs as a law, framework or standard asks for them: `unshaken report --for`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unshaken.core.errors import ParameterError, RunError, did_you_mean
from unshaken.core.numbers import show_budget
from unshaken.core.options import NORM_RECORDS
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Group,
    Heading,
    Headline,
    Items,
    Notice,
    Page,
    Prose,
    Span,
    Table,
    TableRow,
    Text,
    plain,
)
from unshaken.report.gates.kept import read_gates
from unshaken.report.norms import LAYOUTS, Layout, Question
from unshaken.report.pages.evaluate import figure_cell
from unshaken.report.pages.page_kind import compose, write_page
from unshaken.report.summary import NAME as SUMMARY
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import read_config
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import RECORD, EvaluationRecord

SHOWN = 3
"""Classes and slices that a page shows, those of the lowest accuracy."""
MEASURES = {"detection": "mAP", "segmentation": "mIoU"}
"""Task to what the figures of conditions are; else accuracy."""
CLAIM = (
    "This page lists what was measured and what was not. It gives no opinion on whether a system meets a law or a "
    "standard, and subjects are told in our words: read the sources for theirs."
)
FOOTER = "Made by unshaken from the records of the runs that it names. Print it from a browser for a file in PDF."


@dataclass(frozen=True, slots=True)
class Source:
    """A run whose figures are laid out.

    Args:
        run: its directory.
        kind: `run` of a plan or `evaluation`.
        data: its `summary.json`, or what its `evaluate.json` holds.
        facts: what it was made of, by name.
        task: of its model.
    """

    run: RunDir
    kind: str
    data: Mapping[str, Any]
    facts: Mapping[str, str]
    task: str = "classification"


@dataclass(frozen=True, slots=True)
class Line:
    """A figure with its source.

    Args:
        what: was measured.
        cell: its value and interval as text.
        figure: `value`, `low`, `high`, `n` and `interval`; what of these there is.
        table: of the run directory, or a file of it, from which it was made.
        condition: of the rows; empty for all.
        run: the run directory.
    """

    what: str
    cell: Cell
    figure: Mapping[str, Any]
    table: str
    condition: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Filed:
    """Figures of runs by the questions of a layout.

    Args:
        name: of the layout, such as `ai-act`.
        sources: the runs.
        lines: by question, those that answer it; empty for one that is not answered.
    """

    name: str
    sources: tuple[Source, ...]
    lines: Mapping[Question, tuple[Line, ...]]

    @property
    def layout(self) -> Layout:
        """What the file asks."""
        return LAYOUTS[self.name]

    def to_json(self) -> dict[str, Any]:
        """The same for programs: a record a question, with its figures or the command that measures them."""
        asked = [
            {
                "part": part.title, "where": part.where, "question": one.text, "measured": bool(self.lines[one]),
                "command": "" if self.lines[one] else one.command, "figures": [_to_json(k) for k in self.lines[one]],
            }
            for part in self.layout.parts
            for one in part.questions
        ]  # fmt: skip
        runs = [{"run": str(one.run), **one.facts} for one in self.sources]
        outside = [{"subject": subject, "where": where} for subject, where in self.layout.outside]
        return {
            "schema": 1, "for": self.name, "sources": list(self.layout.sources), "runs": runs, "questions": asked,
            "outside": outside,
        }  # fmt: skip


def lay_out(name: str, runs: Sequence[RunDir]) -> Filed:
    """Lay out the figures of runs by the questions of a file.

    Args:
        name: `ai-act`, `nist` or `iso-24029`.
        runs: finished runs of audit, attack, certify, detect, evaluate, inspect or drift.

    Raises:
        ParameterError: the layout is not known, or no run is given.
        RunError: a run is absent, unfinished, damaged, or of a command that no layout reads.
    """
    if name not in LAYOUTS:
        raise ParameterError(f"there is no layout {name!r}; {did_you_mean(name, LAYOUTS)}")
    if not runs:
        raise ParameterError("no run is given: name one run directory at least")
    sources = tuple(_read(run) for run in {str(run).rstrip("/"): run for run in runs}.values())
    asked = [question for part in LAYOUTS[name].parts for question in part.questions]
    return Filed(name, sources, {question: tuple(_answers(question, sources)) for question in asked})


def write_norms(out: RunDir, filed: Filed) -> Page:
    """Write `norms.json`, `norms.html` and `norms.md`.

    Args:
        out: the folder that they go to.
        filed: the figures.

    Raises:
        ParameterError: the folder holds other files.
        RunError: a file cannot be written.
    """
    check_folder(out.root if out.local else str(out), "out", NORM_RECORDS)
    page = norms_page(filed)
    out.write_json(filed.to_json(), NORM_RECORDS[0])
    write_page(out, page, "norms")
    return page


def norms_page(filed: Filed) -> Page:
    """Make the page of figures by the questions of a file."""
    return compose(filed.layout.title, filed, (_head, _parts, _outside, _runs, _documents), FOOTER)


def _read(run: RunDir) -> Source:
    """The record of a run, and what it was made of."""
    if run.exists(CONFIG):
        if not run.exists(SUMMARY):
            raise RunError(f"{run}: no {SUMMARY}; make it with 'unshaken report {run}'")
        config, data = read_config(run), run.read_json(SUMMARY)
        if not data.get("complete", True):
            raise RunError(f"{run}: the run is not finished, so that its figures may change: finish it with --resume")
        version = str(config.provenance.get("unshaken", ""))
        facts = {
            "model": config.model_name, "model fingerprint": config.model_fingerprint, "data": config.data,
            "data fingerprint": config.data_fingerprint, "samples": str(len(config.ids)), "plan": config.plan_name,
            "seed": str(config.seed), "unshaken": version,
        }  # fmt: skip
        return Source(run, "run", data, facts, config.task)
    if run.exists(RECORD):
        record = EvaluationRecord.read(run)
        if not record.finished:
            raise RunError(f"{run}: the run is not finished, so that its figures may change: finish it with --resume")
        facts = {
            "method": record.method, "data": str(record.settings.get("data", "")), "samples": str(record.samples),
            "seed": str(record.settings.get("seed", "")), "unshaken": str(record.provenance.get("unshaken", "")),
        }  # fmt: skip
        return Source(run, "evaluation", record.model_dump(mode="json"), facts)
    raise RunError(
        f"{run}: neither {CONFIG} nor {RECORD}: give finished runs of audit, attack, certify, detect score, evaluate, "
        "inspect or drift"
    )


def _answers(question: Question, sources: Sequence[Source]) -> Iterator[Line]:
    for name in question.figures:
        for source in sources:
            if source.kind == ("evaluation" if name == "drift" else "run"):
                for one in FIGURES[name](source):
                    yield replace(one, run=str(source.run).rstrip("/"))


# Kinds of figures, each from one run.


def _share(what: str, figure: Mapping[str, Any] | None, table: str, condition: str = "") -> list[Line]:
    """The line of a share; none without a value."""
    if figure is None or figure.get("value") is None:
        return []
    return [Line(what, cells.share(dict(figure)), figure, table, condition)]


def _accuracy(source: Source) -> Iterable[Line]:
    measure = MEASURES.get(source.task, "accuracy")
    return _share(f"{measure}, unchanged images", source.data["clean"], "outcomes", "clean")


def _calibration(source: Source) -> Iterable[Line]:
    found = source.data["aggregates"].get("ece")
    return [Line("expected calibration error", cells.value(found), found, "outcomes", "clean")] if found else []


def _gates(source: Source) -> Iterable[Line]:
    for gate in read_gates(source.run).results:
        one = gate.to_json()
        yield Line(f"gate {one['gate']}", Cell(one["state"], note=one["detail"]), {"value": one["value"]}, "gates.json")


def _classes(source: Source) -> Iterable[Line]:
    rows = sorted((r for r in source.data["classes"] if r["clean"]), key=lambda r: float(r["clean"]["value"]))
    for row in rows[:SHOWN]:
        what = f"accuracy, class {row['name'] or row['class']}, among the lowest of {len(rows)}"
        yield from _share(what, row["clean"], "outcomes", "clean")


def _slices(source: Source) -> Iterable[Line]:
    own = [r for r in source.data["slices"] if r["condition"] == "clean" and r["slicing"] != "class" and r["accuracy"]]
    for row in sorted(own, key=lambda r: float(r["accuracy"]["high"]))[:SHOWN]:
        what = f"accuracy, {wording.slice_name(row['slicing'], row['part'])}, among the lowest of {len(own)} slices"
        yield from _share(what, row["accuracy"], "slices", "clean")


def _condition_lines(source: Source, *, attacks: bool) -> Iterator[Line]:
    for row in cells.changes_of(source.data):
        if cells.is_attack(row) != attacks or row["condition"] == "clean":
            continue
        measure = next((n for k, n in (("map", "mAP"), ("miou", "mIoU"), ("accuracy", "accuracy")) if row.get(k)), "")
        what = f"{measure or 'same prediction as unchanged'}, {wording.condition_name(row)}"
        yield from _share(what, cells.metric(row), "outcomes", row["condition"])


def _natural(source: Source) -> Iterable[Line]:
    found = list(_condition_lines(source, attacks=False))
    if len(found) > 1:
        worst = source.data["aggregates"].get("worst_natural")
        found += _share("accuracy, each image under the change that is worst for it", worst, "outcomes")
    return found


def _attacks(source: Source) -> Iterable[Line]:
    yield from _condition_lines(source, attacks=True)
    for row in source.data["robust"]:
        if len(row["attacks"]) > 1:
            size = wording.distance(row["eps"], row["norm"])
            what = f"accuracy, all attacks together, {wording.NORMS.get(row['norm'], row['norm'])}, ε {size}"
            yield from _share(what, row["accuracy"], "outcomes")


def _distances(source: Source) -> Iterable[Line]:
    for row in source.data["minimal_norms"]:
        if row["median"] is not None:
            what = f"median distance to an adversarial example, {wording.condition_name({**row, 'eps': None})}"
            yield Line(what, cells.value(row["median"]), row["median"], "outcomes", row["condition"])


def _targeted(source: Source) -> Iterable[Line]:
    for row in source.data["targeted"]:
        what = f"given the attacker's class, {wording.name_of_id(row['condition'])}"
        yield from _share(what, row["reached"], "targets", row["condition"])


def _certificates(source: Source) -> Iterable[Line]:
    for row in source.data["certified"]:
        for one in row["radii"]:
            if one["radius"] > 0:
                norm = wording.NORMS.get(row["norm"], row["norm"] or "")
                chance = f", each proof wrong with a chance of {row['alpha']:.2g} at most" if row["alpha"] else ""
                method = wording.method_name(row["method"])
                what = f"certified accuracy, {method}, {norm} radius {show_budget(one['radius'])}{chance}"
                yield from _share(what, one["certified_accuracy"], "certificates", row["condition"])


def _screening(source: Source) -> Iterable[Line]:
    for row in source.data["detection"]:
        name = wording.method_name(row["method"])
        yield from _share(f"{name}: normal images accepted", row["accepted"], "scores", row["condition"])
        for group in row["groups"]:
            if group["auroc"] and group["auroc"]["value"] is not None:
                what = f"{name}: AUROC, {group['group']} {group['name']}".rstrip()
                yield Line(what, cells.auroc(group["auroc"]), group["auroc"], "scores", row["condition"])


def _faults(source: Source) -> Iterable[Line]:
    bad = len(source.data["bad_samples"])
    total = bad + source.data["provenance"]["evaluated"]
    figure = {"value": bad, "n": total}
    yield Line("inputs that could not be read", Cell(f"{bad:,} of {total:,}"), figure, "outcomes")
    yield from _share("outputs that are not finite", source.data["aggregates"].get("non_finite"), "outcomes")


def _drift(source: Source) -> Iterable[Line]:
    if source.data["method"] == "data-drift":
        for name, figure in source.data["figures"].items():
            words = name.replace("_", " ").replace("auroc", "AUROC")
            yield Line(f"drift: {words}", figure_cell(name, figure), figure, RECORD)


def _doubts(source: Source) -> Iterable[Line]:
    flags = source.data["flags"]
    for flag in flags:
        yield Line(flag["name"], Cell("raised", note=wording.flag_text(flag["detail"])), {}, "flags")
    if not flags:
        yield Line("flags", Cell("none raised"), {}, "flags")


def _cost(source: Source) -> Iterable[Line]:
    cost = source.data["cost"]
    passes = f"{cost['forwards']:,} forward and {cost['backwards']:,} backward passes"
    yield Line("passes of the model", Cell(passes, note=wording.seconds(cost["seconds"])), {}, "cost")


FIGURES: dict[str, Callable[[Source], Iterable[Line]]] = {
    "accuracy": _accuracy,
    "calibration": _calibration,
    "gates": _gates,
    "classes": _classes,
    "slices": _slices,
    "natural": _natural,
    "faults": _faults,
    "attacks": _attacks,
    "distances": _distances,
    "targeted": _targeted,
    "certificates": _certificates,
    "screening": _screening,
    "drift": _drift,
    "doubts": _doubts,
    "cost": _cost,
}
"""Kind of figures, as questions name them, to what collects them from a run."""


# The page.


def _head(filed: Filed) -> list[Block]:
    gaps = [question.text for question, lines in filed.lines.items() if not lines]
    total = sum(map(len, filed.lines.values()))
    models = dict.fromkeys(s.facts["model fingerprint"] for s in filed.sources if "model fingerprint" in s.facts)
    names = dict.fromkeys(s.facts["model"] for s in filed.sources if "model" in s.facts)
    of = f" of {cells.listed(list(names))}" if names else ""
    lead = f"{cells.counted(total, 'line')} from {cells.counted(len(filed.sources), 'run')}{of}. "
    lead += (
        f"{len(gaps)} of {cells.counted(len(filed.lines), 'question')} have no figure."
        if gaps
        else "Each question has a figure."
    )
    notices = []
    if len(models) > 1:
        text = f"The runs are of {len(models)} different models, where a file describes one system."
        notices.append(Notice(text, "runs"))
    return [Headline(filed.layout.title, (lead,), tuple(notices), brief=True), Prose(CLAIM, "note", brief=True)]


def _parts(filed: Filed) -> Iterator[Block]:
    for number, part in enumerate(filed.layout.parts, 1):
        yield Heading(f"{number}. {part.title}", f"part-{number}", part.title, open=True)
        yield Prose(part.where, "small")
        rows = list[TableRow]()
        for question in part.questions:
            rows.append(Group(question.text))
            rows += [_row(line) for line in filed.lines[question]]
            if not filed.lines[question]:
                rows.append(("not measured: run", "", "", Span(question.command, "code")))
        heads = (Column("figure", number=False), Column("value"), Column("images"), Column("source", number=False))
        yield Table("Figures with their intervals, and the run, table and condition they are from.", heads, tuple(rows))


def _row(line: Line) -> tuple[Cell | Text, ...]:
    n, interval = line.figure.get("n"), str(line.figure.get("interval") or "")
    place = ", ".join(filter(None, (line.run, line.table, line.condition)))
    return line.what, line.cell, f"{n:,}" if n is not None else "", Cell(place, note=interval)


def _outside(filed: Filed) -> list[Block]:
    items: list[Text] = [f"{subject} ({where})" for subject, where in filed.layout.outside]
    text = "No command of unshaken measures these; a file needs other evidence for them."
    return [Heading("Not covered", "outside", "Not covered", open=True), Prose(text), Items(tuple(items))]


def _runs(filed: Filed) -> Iterator[Block]:
    yield Heading("Runs", "runs", "Runs", open=True)
    for source in filed.sources:
        facts = [(name, value) for name, value in source.facts.items() if value]
        yield Facts((("run", Span(str(source.run).rstrip("/"), "code")), *facts))


def _documents(filed: Filed) -> list[Block]:
    head = Heading("Sources of the questions", "sources", "Sources", open=True)
    return [head, Items(filed.layout.sources)]


def _to_json(line: Line) -> dict[str, Any]:
    found = {key: line.figure[key] for key in ("value", "low", "high", "n", "interval") if key in line.figure}
    text = " ".join(filter(None, (plain(line.cell.text), line.cell.note)))
    return {"what": line.what, "text": text, **found, "run": line.run, "table": line.table, "condition": line.condition}

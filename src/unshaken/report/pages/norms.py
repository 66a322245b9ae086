"""Pages that lay out the figures of runs as a law, framework or standard asks for them: `unshaken report --for`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, NamedTuple

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
    plain,
)
from unshaken.report.gates.kept import read_gates
from unshaken.report.pages.evaluate import figure_cell
from unshaken.report.pages.page_kind import compose, write_page
from unshaken.report.summary import NAME as SUMMARY
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import read_config
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import RECORD, EvaluationRecord

_ASKED = tomllib.loads(files("unshaken.report").joinpath("norms.toml").read_text(encoding="utf-8"))
LAYOUTS: dict[str, dict[str, Any]] = _ASKED["layouts"]
"""By the value of `unshaken report --for`: `title`, `sources`, `parts` and `outside`, as `norms.toml` explains them."""
QUESTIONS: dict[str, tuple[str, str]] = _ASKED["questions"]
"""By the name that layouts give them: the text of a question, and the command that measures what answers it."""
SHOWN = 3
"""Classes and slices that a page shows, those of the lowest accuracy."""
CLAIM = (
    "This page lists what was measured and what was not. It gives no opinion on whether a system meets a law or a "
    "standard, and subjects are given in our words: read the sources for theirs."
)
FOOTER = "Made by unshaken from the records of the runs that it names. Print it from a browser for a file in PDF."


class Source(NamedTuple):
    """A run whose figures are laid out.

    Args:
        run: its directory.
        data: its `summary.json`, or `evaluate.json` of an evaluation.
        facts: what it was made of, by name.
        measure: name of its figures of conditions; empty for an evaluation.
    """

    run: RunDir
    data: Mapping[str, Any]
    facts: Mapping[str, str]
    measure: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A figure with its source.

    Args:
        what: was measured.
        cell: its value and interval as text.
        figure: `value`, `low`, `high`, `n` and `interval`, as far as it has them.
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

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        figure = {key: self.figure[key] for key in ("value", "low", "high", "n", "interval") if key in self.figure}
        text = " ".join(filter(None, (plain(self.cell.text), self.cell.note)))
        place = {"run": self.run, "table": self.table, "condition": self.condition}
        return {"what": self.what, "text": text, **figure, **place}


@dataclass(frozen=True, slots=True)
class Filed:
    """Figures of runs by the questions of a layout.

    Args:
        name: of the layout, such as `ai-act`.
        sources: the runs.
        lines: by question, a key of `QUESTIONS`; none for one that no run answers.
    """

    name: str
    sources: tuple[Source, ...]
    lines: Mapping[str, tuple[Line, ...]]

    def to_json(self) -> dict[str, Any]:
        """The same for programs: a record for each question, with its figures or the command that measures them."""
        layout = LAYOUTS[self.name]
        asked = []
        for title, where, keys in layout["parts"]:
            for key in keys.split():
                (text, command), lines = QUESTIONS[key], self.lines[key]
                part = {"part": title, "where": where, "question": text, "measured": bool(lines)}
                found = {"command": "" if lines else command, "figures": [line.to_json() for line in lines]}
                asked.append(part | found)
        runs = [{"run": str(one.run), **one.facts} for one in self.sources]
        outside = [{"subject": subject, "where": where} for subject, where in layout["outside"]]
        head = {"schema": 1, "for": self.name, "sources": layout["sources"], "runs": runs}
        return {**head, "questions": asked, "outside": outside}


def lay_out(name: str, runs: Sequence[RunDir]) -> Filed:
    """Lay out the figures of runs by the questions of a file.

    Args:
        name: `ai-act`, `nist` or `iso-24029`.
        runs: finished runs of audit, attack, certify, detect score or drift.

    Raises:
        ParameterError: the layout is not known, or no run is given.
        RunError: a run is absent, unfinished, damaged, or of a command that no layout reads.
    """
    if name not in LAYOUTS:
        raise ParameterError(f"there is no layout {name!r}; {did_you_mean(name, LAYOUTS)}")
    if not runs:
        raise ParameterError("no run is given: name one run directory at least")
    sources = tuple(_read(run) for run in {str(run).rstrip("/"): run for run in runs}.values())
    asked = [key for _, _, keys in LAYOUTS[name]["parts"] for key in keys.split()]
    return Filed(name, sources, {key: tuple(_answers(key, sources)) for key in asked})


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
    return compose(LAYOUTS[filed.name]["title"], filed, (_head, _parts, _ending), FOOTER)


def _read(run: RunDir) -> Source:
    """The record of a run, and what it was made of."""
    if run.exists(CONFIG):
        if not run.exists(SUMMARY):
            raise RunError(f"{run}: no {SUMMARY}; make it with 'unshaken report {run}'")
        config, data = read_config(run), run.read_json(SUMMARY)
        finished = data.get("complete", True)
        facts = {
            "model": config.model_name, "model fingerprint": config.model_fingerprint, "data": config.data,
            "data fingerprint": config.data_fingerprint, "samples": str(len(config.ids)), "plan": config.plan_name,
            "seed": str(config.seed), "unshaken": str(config.provenance.get("unshaken", "")),
        }  # fmt: skip
        source = Source(run, data, facts, {"detection": "mAP", "segmentation": "mIoU"}.get(config.task, "accuracy"))
    elif run.exists(RECORD):
        record = EvaluationRecord.read(run)
        finished = record.finished
        facts = {
            "method": record.method, "data": str(record.settings.get("data", "")), "samples": str(record.samples),
            "seed": str(record.settings.get("seed", "")), "unshaken": str(record.provenance.get("unshaken", "")),
        }  # fmt: skip
        source = Source(run, record.model_dump(mode="json"), facts)
    else:
        commands = "audit, attack, certify, detect score or drift"
        raise RunError(f"{run}: neither {CONFIG} nor {RECORD}: give finished runs of {commands}")
    if not finished:
        raise RunError(f"{run}: the run is not finished, so that its figures may change: finish it with --resume")
    return source


def _answers(key: str, sources: Sequence[Source]) -> Iterator[Line]:
    for collect in COLLECTORS[key]:
        for source in sources:
            if bool(source.measure) != (collect is _drift):
                yield from (replace(one, run=str(source.run).rstrip("/")) for one in collect(source))


def _share(what: str, figure: Mapping[str, Any] | None, table: str, condition: str = "") -> list[Line]:
    """The line of a share; none without a value."""
    if figure is None or figure.get("value") is None:
        return []
    return [Line(what, cells.share(dict(figure)), figure, table, condition)]


def _accuracy(source: Source) -> Iterable[Line]:
    return _share(f"{source.measure}, unchanged images", source.data["clean"], "outcomes", "clean")


def _calibration(source: Source) -> Iterable[Line]:
    found = source.data["aggregates"].get("ece")
    return [Line("expected calibration error", cells.share(found), found, "outcomes", "clean")] if found else []


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


def _conditions(source: Source, *, attacks: bool) -> Iterator[Line]:
    for row in cells.changes_of(source.data):
        if cells.is_attack(row) == attacks and row["condition"] != "clean":
            labelled = row.get("map") or row.get("miou") or row.get("accuracy")
            what = f"{source.measure if labelled else 'same prediction as unchanged'}, {wording.condition_name(row)}"
            yield from _share(what, cells.metric(row), "outcomes", row["condition"])


def _natural(source: Source) -> Iterable[Line]:
    found = list(_conditions(source, attacks=False))
    if len(found) > 1:
        worst = source.data["aggregates"].get("worst_natural")
        found += _share("accuracy, each image under the change that is worst for it", worst, "outcomes")
    return found


def _faults(source: Source) -> Iterable[Line]:
    bad = len(source.data["bad_samples"])
    total = bad + source.data["provenance"]["evaluated"]
    figure = {"value": bad, "n": total}
    yield Line("inputs that could not be read", Cell(f"{bad:,} of {total:,}"), figure, "outcomes")
    yield from _share("outputs that are not finite", source.data["aggregates"].get("non_finite"), "outcomes")


def _attacks(source: Source) -> Iterable[Line]:
    yield from _conditions(source, attacks=True)
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
    for row in source.data["targeted_parts"]:
        what = f"{row['unit']} given the attacker's class, {wording.name_of_id(row['condition'])}"
        yield from _share(what, row["reached"], "part_targets", row["condition"])


def _certificates(source: Source) -> Iterable[Line]:
    for row in source.data["certified"]:
        norm = wording.NORMS.get(row["norm"], row["norm"] or "")
        chance = f", each proof wrong with a chance of {row['alpha']:.2g} at most" if row["alpha"] else ""
        for one in row["radii"]:
            if one["radius"] > 0:
                radius = f"{norm} radius {show_budget(one['radius'])}{chance}"
                what = f"certified accuracy, {wording.method_name(row['method'])}, {radius}"
                yield from _share(what, one["certified_accuracy"], "certificates", row["condition"])


def _screening(source: Source) -> Iterable[Line]:
    for row in source.data["detection"]:
        name = wording.method_name(row["method"])
        yield from _share(f"{name}: normal images accepted", row["accepted"], "scores", row["condition"])
        for group in row["groups"]:
            if group["auroc"] and group["auroc"]["value"] is not None:
                what = f"{name}: AUROC, {group['group']} {group['name']}".rstrip()
                yield Line(what, cells.auroc(group["auroc"]), group["auroc"], "scores", row["condition"])


def _drift(source: Source) -> Iterable[Line]:
    if source.data["method"] == "data-drift":
        for name, figure in source.data["figures"].items():
            words = name.replace("_", " ").replace("auroc", "AUROC")
            yield Line(f"drift: {words}", figure_cell(name, figure), figure, RECORD)


def _doubts(source: Source) -> Iterable[Line]:
    flags = source.data["flags"]
    yield from (Line(f["name"], Cell("raised", note=wording.flag_text(f["detail"])), {}, "flags") for f in flags)
    if not flags:
        yield Line("flags", Cell("none raised"), {}, "flags")


def _cost(source: Source) -> Iterable[Line]:
    cost = source.data["cost"]
    passes = f"{cost['forwards']:,} forward and {cost['backwards']:,} backward passes"
    yield Line("passes of the model", Cell(passes, note=wording.seconds(cost["seconds"])), {}, "cost")


COLLECTORS: dict[str, tuple[Callable[[Source], Iterable[Line]], ...]] = {
    "accuracy": (_accuracy,),
    "confidence": (_calibration,),
    "thresholds": (_gates,),
    "groups": (_classes, _slices),
    "corruptions": (_natural,),
    "faults": (_faults,),
    "attacks": (_attacks, _distances),
    "targeted": (_targeted,),
    "certificates": (_certificates,),
    "screening": (_screening,),
    "drift": (_drift,),
    "doubts": (_doubts,),
    "cost": (_cost,),
}
"""By question: what collects the figures that answer it, each from one run."""


def _head(filed: Filed) -> list[Block]:
    gaps, total = sum(not lines for lines in filed.lines.values()), sum(map(len, filed.lines.values()))
    models = {s.facts["model fingerprint"]: s.facts["model"] for s in filed.sources if "model" in s.facts}
    of = f" of {cells.listed(list(dict.fromkeys(models.values())))}" if models else ""
    have = f"{gaps} of {cells.counted(len(filed.lines), 'question')} have no figure." if gaps else "No gap."
    lead = f"{cells.counted(total, 'line')} from {cells.counted(len(filed.sources), 'run')}{of}. {have}"
    text = f"The runs are of {len(models)} different models, where a file describes one system."
    notices = (Notice(text, "runs"),) if len(models) > 1 else ()
    return [Headline(LAYOUTS[filed.name]["title"], (lead,), notices, brief=True), Prose(CLAIM, "note", brief=True)]


def _parts(filed: Filed) -> Iterator[Block]:
    heads = (Column("figure", number=False), Column("value"), Column("images"), Column("source", number=False))
    for number, (title, where, keys) in enumerate(LAYOUTS[filed.name]["parts"], 1):
        yield Heading(f"{number}. {title}", f"part-{number}", title, open=True)
        yield Prose(where, "small")
        rows = list[TableRow]()
        for key in keys.split():
            rows.append(Group(QUESTIONS[key][0]))
            for line in filed.lines[key]:
                n, place = line.figure.get("n"), ", ".join(filter(None, (line.run, line.table, line.condition)))
                source = Cell(place, note=str(line.figure.get("interval") or ""))
                rows.append((line.what, line.cell, "" if n is None else f"{n:,}", source))
            if not filed.lines[key]:
                rows.append(("not measured: run", "", "", Span(QUESTIONS[key][1], "code")))
        yield Table("Figures with their intervals, and the run, table and condition they are from.", heads, tuple(rows))


def _ending(filed: Filed) -> Iterator[Block]:
    layout = LAYOUTS[filed.name]
    yield Heading("Not covered", "outside", "Not covered", open=True)
    yield Prose("No command of unshaken measures these; a file needs other evidence for them.")
    yield Items(tuple(f"{subject} ({where})" for subject, where in layout["outside"]))
    yield Heading("Runs", "runs", "Runs", open=True)
    for source in filed.sources:
        facts = [(name, value) for name, value in source.facts.items() if value]
        yield Facts((("run", Span(str(source.run).rstrip("/"), "code")), *facts))
    yield Heading("Sources of the questions", "sources", "Sources", open=True)
    yield Items(layout["sources"])

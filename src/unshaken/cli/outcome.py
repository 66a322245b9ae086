"""What verbs that make a run have in common: run it, show what came out, choose the exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from unshaken.cli.options import RunOptions
from unshaken.cli.outcome_detectors import detector_tables
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, one_line, print_json, print_line, table

if TYPE_CHECKING:
    from rich.table import Table

    from unshaken.api import Audit
    from unshaken.report import GateResult

GATE_FAILED = 1
BAD_SAMPLES = 3
FEW = 3
"""Bad samples named; the report has all."""

Row = dict[str, Any]


def make_run(
    session: Session, options: RunOptions, out: str, as_json: bool, start: Callable[[dict[str, Any]], Audit]
) -> int:
    """Make a run and show it.

    Args:
        session: of this call.
        options: as given; `out` is filled in where it is None.
        out: the run directory where none was given.
        as_json: print the summary instead of tables.
        start: makes the run from the options.

    Returns:
        The exit code: a failed gate wins over bad samples.
    """
    chosen = {**options, "out": options["out"] or out}
    session.makes_run(chosen["out"], given=options["out"] is not None)
    with progress(session):
        done = start(chosen)
    if as_json:
        print_json(done.summary)
    elif session.quiet:
        print_line(_report(done))
    else:
        _show(done)
    if as_json or session.quiet:
        _warn(done)
    if not done.held:
        return GATE_FAILED
    return BAD_SAMPLES if done.summary["bad_samples"] else 0


def _show(done: Audit) -> None:
    summary, out = done.summary, console()
    about = summary["provenance"]
    held_back = len(summary["bad_samples"])
    print_line(f"{about['model_name']} on {about['data']}: {about['evaluated']} samples, plan {about['plan']}")
    out.print()
    out.print(_figures(summary, _beside(done)))
    out.print()
    for one in summary["certified"]:
        out.print(_certified(one))
        out.print(_guaranteed(one), soft_wrap=True)
        out.print()
    for about in detector_tables(summary):
        out.print(about)
        out.print()
    about_attacks = [*_nearest(summary), *_turns(summary)]
    bad = _bad(summary) if held_back else ""
    for line in filter(None, (_aggregates(summary), *about_attacks, *_flags(summary), bad)):
        out.print(line, soft_wrap=True)
    for gate in done.gates:
        out.print(_gate(gate), soft_wrap=True, style=None if gate.held else "bold red")
    print_line(f"report: {_report(done)}")


def _figures(summary: Row, others: list[Row]) -> Table:
    """One row a condition: the accuracy with its interval, and what was lost of the clean one.

    Without labels the figure is the share of predictions that stay as they were. With other runs each has its column,
    and all is said shorter.
    """
    from unshaken.report import view, wording

    clean = view.clean_figure(summary)
    conditions = view.changes_of(summary)
    if others:
        names = [f"{wording.series_name(c)} {wording.short_strength(c)}".strip() for c in conditions]
        heads = ["condition, 95 % interval"]
    else:
        names = [wording.condition_name(c) for c in conditions]
        heads = ["condition", "accuracy" if clean else "same as clean", "95 % interval", "drop"]
    rows: list[list[object]] = [[name] for name in (["unchanged"] if clean else []) + names]
    for run in (summary, *others):
        own, known = view.clean_figure(run), {c["condition"]: view.metric(c) for c in run["conditions"]}
        figures = ([own] if clean else []) + [known.get(c["condition"]) for c in conditions]
        for row, figure in zip(rows, figures, strict=True):
            row += [*_cells(figure, short=bool(others)), _drop(own, figure)]
        if others:
            heads += [run["provenance"]["model_name"], "drop"]
    return table(heads, rows, right=range(1, len(heads)))


def _certified(one: Row) -> Table:
    """One row a size: what is certified, and what an attack leaves."""
    from unshaken.report import certify_view, wording

    def told(figure: Row | None) -> list[str | None]:
        return [None, None] if figure is None else [wording.percent(figure["value"]), wording.span(figure)]

    rows = [
        [f"{line.radius:.4g}", *told(line.accuracy or line.certified), *told(line.attacked)]
        for line in certify_view.lines(one)
    ]
    norm = wording.NORMS.get(one["norm"], one["norm"])
    heads = [f"{wording.method_name(one['condition'])}, {norm}", "certified", "95 % interval", "attacked", "95 %"]
    return table(heads, rows, right=range(len(heads)))


def _guaranteed(one: Row) -> str:
    """What goes with the figures: without any change, abstentions, cost, the failure probability."""
    from unshaken.report import certify_view, wording

    parts = [f"unchanged {wording.percent(one['clean']['value'])}"] if one["clean"] else []
    parts += [f"abstained on {wording.percent(one['abstained']['value'])}", certify_view.cost(one)]
    parts += [f"each certificate wrong with probability {one['alpha']:g} at most"] if one["alpha"] else ["exact"]
    return one_line("; ".join(parts))


def _cells(figure: Row | None, *, short: bool) -> list[str | None]:
    from unshaken.report import wording

    if figure is None:
        return [None] if short else [None, None]
    value = wording.percent(figure["value"])
    if not short:
        return [value, wording.span(figure)]
    return [f"{value} ({100 * figure['low']:.1f}–{100 * figure['high']:.1f})"]


def _drop(clean: Row | None, figure: Row | None) -> str | None:
    """Percentage points below the unchanged images."""
    if clean is None or figure is None:
        return None
    return "" if figure is clean else f"{100 * (clean['value'] - figure['value']):.1f}"


def _aggregates(summary: Row) -> str:
    from unshaken.report import wording

    def told(name: str, figure: Row) -> str:
        known = figure["low"] is not None and figure["high"] is not None
        ends = f" ({wording.number(figure['low'])} to {wording.number(figure['high'])})" if known else ""
        return f"{name} {wording.number(figure['value'])}{ends}"

    there = [told(n, f) for n, f in summary["aggregates"].items() if f is not None and f["value"] is not None]
    return one_line(", ".join(there))


def _nearest(summary: Row) -> list[str]:
    """The smallest norms, one line a minimal-norm attack."""
    from unshaken.report.attack_view import distance

    return [
        one_line(f"{m['condition']}: median distance of the nearest examples {distance(m['median'])}")
        for m in summary["minimal_norms"]
    ]


def _turns(summary: Row) -> list[str]:
    """What each search of an attack with several of them bought, one line an attack."""
    from unshaken.report.wording import percent

    def told(turn: Row) -> str:
        if not turn["forwards"] and turn["why"].startswith("left out"):
            return f"{turn['attack']} {turn['why']}"
        return f"{turn['attack']} {percent(turn['accuracy']['value'])} after {turn['passes_per_sample']:.0f} passes"

    return [
        one_line(f"{a['condition']}: {', '.join(told(t) for t in a['turns'])}")
        for a in summary["attacks"]
        if len(a["turns"]) > 1
    ]


def _flags(summary: Row) -> list[str]:
    return [one_line(f"flag {f['name']}: {f['detail']}") for f in summary["flags"]]


def _bad(summary: Row) -> str:
    bad = summary["bad_samples"]
    shown = "; ".join(f"{b['id']}: {b['reason']}" for b in bad[:FEW])
    return one_line(f"bad samples: {len(bad)} left out: {shown}{'; ...' if len(bad) > FEW else ''}")


def _gate(gate: GateResult) -> str:
    return one_line(f"gate {'held' if gate.held else 'FAILED'}: {gate.text}: {gate.detail}")


def _warn(done: Audit) -> None:
    """On stderr what nobody may miss, where stdout has no tables."""
    for flag in _flags(done.summary):
        typer.echo(flag, err=True)
    for gate in done.gates:
        if not gate.held:
            typer.echo(_gate(gate), err=True)
    if done.summary["bad_samples"]:
        typer.echo(_bad(done.summary), err=True)


def _beside(done: Audit) -> list[Row]:
    """The summaries of runs shown side by side."""
    from unshaken.report.compare import beside
    from unshaken.run import read_config

    return [run.read_json("summary.json") for run in beside(done.run, read_config(done.run))]


def _report(done: Audit) -> str:
    return f"{str(done.run).rstrip('/')}/report.html"

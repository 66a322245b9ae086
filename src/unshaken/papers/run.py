"""`run_paper`: run a paper's experiment and judge its claim; `figures_of`: its figures again, from rows alone."""

from __future__ import annotations

import os
import time
from typing import Any

from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.options import PAPER_RECORDS
from unshaken.core.texts import parse_values
from unshaken.papers.claim import is_reproduced, judge_parts
from unshaken.papers.context import Context
from unshaken.papers.datasets import Datasets
from unshaken.papers.effects import flat
from unshaken.papers.folders import find_row
from unshaken.papers.paper import Paper, at_scale, parse_scale, scale_of
from unshaken.papers.record import NAME, Record
from unshaken.papers.result import PaperResult, note_of, remark_of
from unshaken.papers.roles import all_roles_used
from unshaken.papers.rows import Rows
from unshaken.papers.seen import seen_by_rows, seen_by_specs
from unshaken.papers.tables import register_tables
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir


@of_arguments
def run_paper(
    slug: str,
    *,
    scale: str = "quick",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    data: str | None = None,
    model: str | None = None,
    download: bool = False,
) -> PaperResult:
    """Run a paper's small experiment and judge its claim by the rule written beforehand.

    Args:
        slug: a name of `list_papers`, or the path of a row's folder, with a `/` in it, as in `./my_claim`; parameters
            may follow, as in `crop-selection:photos=60`.
        scale: `quick`, at most about ten minutes on two cores, or `full`, as published; the same parts are tried.
        seed: decides all that is drawn.
        out: the run directory for the rows; an interrupted run in it is resumed. Default: a new one below `runs/`.
        data: a data SPEC in the place of the paper's own.
        model: a model SPEC in the place of the paper's own.
        download: whether sources may be fetched.

    Returns:
        The result, also kept as `result.json` in the run directory.

    Raises:
        UnshakenError: it could not run; one line says why and what to do.
    """
    if seed < 0:
        raise ParameterError(f"seed={seed} must be 0 or more")
    paper = _paper(slug, scale)
    name = paper.info.name
    check_folder(out, "out", PAPER_RECORDS)
    run = RunDir(out or f"runs/papers/{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    chosen = {"data": data or paper.data, "model": model or paper.model}
    own = data is not None or model is not None
    with locked(run):
        measured, record = _measured(paper, run, seed, own=own, download=download, **chosen)
    checks = paper.judge(measured)
    judged = judge_parts(paper.claim_parts(), checks)
    remark = remark_of(paper, measured, record.fewer)
    result = PaperResult(
        slug=name,
        measured=flat(measured),
        expected={**flat(paper.expected), "rule": paper.whole_rule()},
        reproduced=is_reproduced(judged),
        data=chosen["data"],
        model=chosen["model"],
        seed=seed,
        seconds=record.seconds,
        scale=scale_of(paper),
        note=note_of(checks, remark),
        checks=tuple(checks),
        parts=tuple(judged),
        frozen=record.frozen["rule"],
        judged=paper.rule_digest(),
        provenance={"parameters": paper.model_dump(mode="json"), **record.provenance()},
        remark=remark,
        seen_in_training=seen_by_specs(chosen, paper, record.inputs) + seen_by_rows(record.seen),
        **paper.statement(),
    )
    run.write_json(result.to_json(), "result.json")
    return result


def freeze(
    slug: str,
    *,
    out: str | os.PathLike[str],
    scale: str = "quick",
    seed: int = 0,
    data: str | None = None,
    model: str | None = None,
) -> dict[str, str]:
    """Write down the claim's parts, rules and settings before an experiment is run.

    `run_paper` with the same `out` then names this digest and date in its result, and says if a rule was changed since.

    Args:
        slug: as for `run_paper`.
        out: the run directory, new.
        scale: as for `run_paper`.
        seed: as for `run_paper`.
        data: as for `run_paper`.
        model: as for `run_paper`.

    Returns:
        `rule`, 32 hexadecimal digits, and `date`.

    Raises:
        UnshakenError: there is no such paper, or the directory holds another experiment.
    """
    paper = _paper(slug, scale)
    check_folder(out, "out", PAPER_RECORDS)
    run = RunDir(out)
    with locked(run):
        settings = settings_of(paper, seed, data or paper.data, model or paper.model)
        return dict(Record.pin(run, settings, paper.rule_digest()).frozen)


def figures_of(out: str | os.PathLike[str], row: str | None = None) -> dict[str, Any]:
    """The figures of a run directory, computed again from its rows alone.

    Args:
        out: as given to `run_paper`.
        row: the path of the row's folder, where it is not an installed one.

    Returns:
        Dotted names to figures, as in `PaperResult.measured`.

    Raises:
        RunError: it is no run directory of a paper.
    """
    run = RunDir(out)
    settings = run.read_json(NAME).get("settings")
    if settings is None:
        raise RunError(f"{run}: was made by an earlier version of unshaken; run the paper again")
    given = {k: v for k, v in settings.items() if k not in ("slug", "seed", "data", "model")}
    paper = find_row(row or settings["slug"])(**given)
    register_tables([type(paper)])
    return flat(_figures(paper, run, settings["seed"]))


def _paper(slug: str, scale: str) -> Paper:
    """The paper that is named, with the parameters of the scale but for those that are given."""
    name, values = parse_values(slug)
    return at_scale(find_row(name).from_text(values), parse_scale(scale))


def _measured(
    paper: Paper, run: RunDir, seed: int, *, data: str, model: str, own: bool, download: bool
) -> tuple[dict[str, Any], Record]:
    """The figures, and the record of the run."""
    slug = paper.info.name
    register_tables([type(paper)])
    record = Record.pin(run, settings_of(paper, seed, data, model), paper.rule_digest())
    record.begin()
    datasets = Datasets(data, download, record, seed)
    try:
        if model == paper.model:  # of another model the row itself says first whether it takes one
            paper.check_data(datasets, own=own)
        paper.run(Context(slug, seed, run, data, model, own, record, datasets, download, paper.chooses))
        measured = _figures(paper, run, seed)
    finally:
        record.end()
    if record.networks:
        measured["networks_from_cache"] = record.from_cache()
    return measured, record


def _figures(paper: Paper, run: RunDir, seed: int) -> dict[str, Any]:
    """The figures of rows, none of them judged by what chose."""
    with all_roles_used():
        return paper.figures(Rows(run, paper.info.name, seed, chooses=paper.chooses))


def settings_of(paper: Paper, seed: int, data: str, model: str) -> dict[str, Any]:
    """Settings that decide the rows of a run.

    Args:
        paper: with its parameters.
        seed: the run seed.
        data: SPEC.
        model: SPEC.
    """
    given = {"slug": paper.info.name, "seed": seed, "data": data, "model": model}
    return {**given, **paper.model_dump(mode="json")}

"""`board`, `submit_run` and `export_runs`: tables of many models' runs, and runs as files for such tables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.options import BOARD_RECORDS
from unshaken.core.package import public
from unshaken.report import leaderboards
from unshaken.report.blocks import Page
from unshaken.report.board import Board, Source, read_board
from unshaken.report.pages.board import write_board
from unshaken.report.render.notebook import render_notebook
from unshaken.report.reported import Reported, is_reported, read_reported
from unshaken.report.write import make_report
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import read_config
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.store.submission import pack_run, unpack_run

OWN_FOLDERS = ("rows", "examples", "ids", "logs")
"""In the directory of a run; no other run lies in them."""
DEEPEST = 6
"""Levels of folders below a given one in which runs are looked for."""


@dataclass(frozen=True, slots=True)
class BoardResult:
    """A table of models by protocols; in a notebook it shows itself.

    Args:
        run: its folder.
        summary: what `board.json` holds.
        page: what `index.html` shows, as blocks.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)
    page: Page = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """A row a run with figures, ranks and cost, as in `board.csv`."""
        return [dict(row) for row in self.summary["entries"]]

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Sources that have no place in the table, with the reason."""
        return [(one["source"], one["reason"]) for one in self.summary["left_out"]]

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/index.html")


@public("board")
def board(*places: str | Path, out: str | Path) -> BoardResult:
    """Put finished runs and submissions into one table of models by protocols, and write it as a static site.

    Runs share a column only if they have the same plan with the same parameters, data, samples, labels and seed.

    Args:
        places: run directories, files of submissions (`.zip`), and folders in which both are looked for; and files of
            other leaderboards (RobustBench's `model_info` as `.json`, the hub's `.eval_results` as `.yaml`, timm's
            results as `.csv`), whose figures stand apart as reported elsewhere.
        out: the folder of the site: `index.html` with all tables, the page of each run in `runs`, and the figures as
            `board.json` and `board.csv`.

    Raises:
        RunError: no finished run is found, or the folder cannot be written.
        ParameterError: `out` holds other files.
    """
    run = RunDir(out)
    check_folder(run.root if run.local else str(run), "out", BOARD_RECORDS)
    with ExitStack() as stack:
        sources, left_out, reported = list[Source](), list[tuple[str, str]](), list[Reported]()
        for place in dict.fromkeys(name for given in places for name in _find(str(given))):
            if is_reported(place):
                try:
                    reported += read_reported(Path(place))
                except DataError as error:
                    left_out.append((place, str(error).removeprefix(f"{place}: ")))
                continue
            if not place.endswith(".zip"):
                sources.append(Source(place, RunDir(place)))
                continue
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                unpack_run(Path(place), folder)
                make_report(own := RunDir(folder))  # figures of a submission are made from its rows
            except (RunError, DataError) as error:
                left_out.append((place, str(error).replace(f"{folder}: ", "")))
                continue
            sources.append(Source(place, own, submitted=True))
        found = replace(read_board(run, sources, left_out), reported=tuple(reported))
        return BoardResult(run, found.to_json(), write_board(run, _with_pages(run, found)))


def _with_pages(run: RunDir, found: Board) -> Board:
    """The same with the page of each run copied into the folder of the board."""
    pages = dict[str, str]()
    for number, entry in enumerate(found.entries):
        if entry.source.run.exists("report.html"):
            pages[entry.source.run.path] = address = f"runs/{number:04d}.html"
            run.write(entry.source.run.read("report.html"), *address.split("/"))
    return found.linked(pages, {})


def _find(place: str) -> Iterator[str]:
    """The runs and submissions at a place: itself, or those below it in order of their names.

    Raises:
        RunError: there is nothing.
    """
    if is_reported(place) or RunDir(place).exists(CONFIG) or (place.endswith(".zip") and Path(place).is_file()):
        yield place
        return
    top = Path(place)
    if not top.is_dir():
        raise RunError(f"{place}: no run directory, no submission and no folder")
    inside = set[Path]()
    for folder, folders, files in os.walk(top):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if here / f not in inside)
        if len(here.relative_to(top).parts) >= DEEPEST:
            folders.clear()
        if CONFIG in files:
            yield str(here)
            inside |= _runs_inside(here)
            folders[:] = [f for f in folders if here / f not in inside and f not in OWN_FOLDERS]
        else:
            yield from (str(here / file) for file in sorted(files) if file.endswith(".zip"))


def _runs_inside(folder: Path) -> set[Path]:
    """Folders of runs that belong to a run; none of one that is damaged, which is named later."""
    try:
        return {folder / name for name in read_config(RunDir(folder)).inside}
    except RunError:
        return set()


@public()
def submit_run(run: str | Path | RunDir, *, out: str | Path) -> None:
    """Write a finished run as one file that a board takes: its record and all its rows, without images.

    The file holds what `run.json` does, the SPECs of model and data and the ids of samples included.

    Args:
        run: directory of a whole run.
        out: the file, whose name ends in `.zip`; one that is there is replaced.

    Raises:
        ParameterError: the name ends otherwise.
        RunError: the run is a part, has not finished or is damaged, or the file cannot be written.
    """
    if Path(out).suffix != ".zip":
        raise ParameterError(f"out {str(out)!r} is no name of a submission: let it end in .zip")
    data = pack_run(run if isinstance(run, RunDir) else RunDir(run))
    RunDir(Path(out).parent).write(data, Path(out).name)


@public()
def export_runs(*runs: str | Path | RunDir, form: str, out: str | Path, dataset: str | None = None) -> None:
    """Write finished runs in the format of a public leaderboard.

    Args:
        runs: directories.
        form: `robustbench` (a JSON file of `model_info`, of one run of AutoAttack), `openood` (a CSV file of near and
            far sets, of one run of detectors), `eval-results` (a YAML file of `.eval_results` on the Hugging Face hub)
            or `timm` (a CSV file of accuracies on unchanged images).
        out: the file; one that is there is replaced.
        dataset: the data's name there; None for the one that the run has.

    Raises:
        ParameterError: there is no such format, or the number of runs or the data's name does not fit it.
        RunError: a run is not finished, or does not hold what the format needs.
    """
    text = leaderboards.export_runs([run if isinstance(run, RunDir) else RunDir(run) for run in runs], form, dataset)
    RunDir(Path(out).parent).write(text.encode(), Path(out).name)

"""`Site`: what the pages of runs share."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.numbers import shorten
from unshaken.report.blocks import Block
from unshaken.report.board import Source, read_board
from unshaken.report.gates.kept import read_gates
from unshaken.report.pages.board import board_page
from unshaken.report.pages.runs import comparison_page, report_page
from unshaken.report.summary import build
from unshaken.serve.images import LazyCache
from unshaken.serve.review.store import ReviewStore
from unshaken.serve.site.grid import SampleGrid
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.jobs import Jobs
from unshaken.serve.site.listing import ListedRun, run_of
from unshaken.serve.site.opened import OpenedRun
from unshaken.serve.site.partial import PartialFigures
from unshaken.serve.site.trend import TrendFigure, read_figures
from unshaken.store.run_dir import RunDir, consistent

REVIEWS = "review.db"
"""File of a run directory with its reviews."""
MOST_SAMPLES = 8_000_000
"""Samples of all runs, and of all grids, that are kept in memory: about 100 bytes each."""
MOST_OUTCOMES = 3_000_000
"""Samples times conditions up to which a report is made again when it is asked for; it takes about a minute there."""


@dataclass(frozen=True)
class Site:
    """The list of runs, the reviews and the jobs that the pages of a server share.

    Args:
        index: the list of runs.
        store: of readers and their reviews.
        jobs: runs that were started here; None where nothing may be changed or started.
        allow: SPECs that started runs may use, besides those of the listed runs.
    """

    index: RunIndex
    store: ReviewStore
    jobs: Jobs | None = None
    allow: tuple[str, ...] = ()
    _opened: LazyCache[OpenedRun] = field(
        default_factory=lambda: LazyCache(MOST_SAMPLES, lambda run: 10_000 + len(run.config.ids))
    )
    _grids: LazyCache[SampleGrid] = field(default_factory=lambda: LazyCache(MOST_SAMPLES, lambda grid: grid.samples))
    _reviews: LazyCache[ReviewStore] = field(default_factory=lambda: LazyCache(1000, drop=ReviewStore.close))
    _reports: LazyCache[tuple[Block, ...]] = field(default_factory=lambda: LazyCache(12))
    _figures: LazyCache[dict[str, TrendFigure]] = field(default_factory=lambda: LazyCache(400_000, len))
    _partial: LazyCache[PartialFigures] = field(default_factory=lambda: LazyCache(20))

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed or started."""
        return self.jobs is None

    def close(self) -> None:
        """Close the reviews of runs that were opened here."""
        self._reviews.clear()

    def open(self, listed: ListedRun) -> OpenedRun:
        """An evaluation of the list.

        Raises:
            RunError: it is of another command, or damaged.
        """
        return self._opened.get((listed.place, listed.mark), lambda: OpenedRun(listed.place, self._grids))

    def figures(self, listed: ListedRun) -> dict[str, TrendFigure]:
        """All figures of a run's summary by name; none without a summary."""
        return self._figures.get((listed.place, listed.mark), lambda: read_figures(listed.place))

    def partial(self, out: str) -> PartialFigures:
        """The figures of the finished shards of a job.

        Args:
            out: its run directory.
        """
        return self._partial.get(out, lambda: PartialFigures(out))

    def review_store(self, number: int) -> ReviewStore:
        """The store of a run's reviews.

        Args:
            number: of the run.

        Raises:
            ParameterError: there is no such run, or it has no reviews here.
            RunError: its database cannot be opened.
        """
        place = run_of(self.index, number).place
        if self.read_only or not has_reviews(place):
            raise ParameterError(f"the run {number} has no reviews here")
        return self._reviews.get(place, lambda: ReviewStore.open(RunDir(place).at(REVIEWS)))

    def report(self, listed: ListedRun) -> tuple[Block, ...] | None:
        """The blocks of a run's report, made of its rows; None where it is too large for that, or no evaluation.

        Raises:
            RunError: its rows are damaged.
        """
        if listed.record != "run.json" or listed.samples * listed.conditions > MOST_OUTCOMES:
            return None
        return self._reports.get((listed.place, listed.mark), lambda: self._make_report(listed.place))

    def compare(self, runs: Sequence[ListedRun]) -> tuple[Block, ...]:
        """The blocks of a comparison of runs with the first of them.

        Args:
            runs: two or more.

        Raises:
            ParameterError: they have no samples in common with the first, or cannot be compared.
            RunError: one of them is damaged.
        """
        from unshaken.report import compare_runs

        outcomes = [run.samples * run.conditions for run in runs]
        if max(outcomes) > MOST_OUTCOMES or sum(outcomes) > 2 * MOST_OUTCOMES:
            raise ParameterError("these runs are too large for a page: use 'unshaken compare'")
        key = tuple((run.place, run.mark) for run in runs)
        return self._reports.get(key, lambda: comparison_page(compare_runs([RunDir(r.place) for r in runs])).blocks)

    def board(self, runs: Sequence[ListedRun]) -> tuple[Block, ...]:
        """The blocks of the board of some runs, whose figures lead to the pages of the runs and their models.

        Args:
            runs: the newest first; of two of the same model under the same protocol the newer one counts.

        Raises:
            RunError: none of them has a place on a board.
        """
        return self._reports.get(tuple((run.place, run.mark) for run in runs), lambda: self._make_board(runs))

    def _make_board(self, runs: Sequence[ListedRun]) -> tuple[Block, ...]:
        found = read_board(RunDir(self.index.roots[0]), [Source(run.name, RunDir(run.place)) for run in runs])
        listed = {RunDir(run.place).path: run for run in runs}
        models = {entry.cell.model: listed[entry.source.run.path] for entry in reversed(found.entries)}
        return board_page(found.linked(
            {path: f"/runs/{run.id}" for path, run in listed.items()},
            {model: f"/runs/{run.id}/model" for model, run in models.items()},
        )).blocks  # fmt: skip

    def _make_report(self, place: str) -> tuple[Block, ...]:
        run = RunDir(place)
        summary = build(run)
        for name in (*summary.config.beside, *summary.config.inside):
            if not self._is_listed(place, name):
                raise RunError(f"it names the run {shorten(name)}, which is not in the listed folders")
        with consistent(run):
            return report_page(summary, read_gates(run).results).blocks

    def _is_listed(self, place: str, name: str) -> bool:
        """Whether a run that another one names, by its place relative to it, lies in the listed folders."""
        scheme, mark, path = place.rpartition("://")
        whole = posixpath.normpath(posixpath.join(path, name))
        if not mark:
            whole = os.path.realpath(whole)
        roots = [root if "://" in root else os.path.realpath(root) for root in self.index.roots]
        return any(f"{scheme}{mark}{whole}/".startswith(f"{root}/") for root in roots)


def has_reviews(place: str) -> bool:
    """Whether a run holds a store of reviews, on this machine."""
    run = RunDir(place)
    return run.local and holds_file(run, REVIEWS)


def holds_file(run: RunDir, name: str) -> bool:
    """Whether a run holds a file of its own, and no link to another one that it must not show."""
    if not run.local:
        return run.exists(name)
    return os.path.isfile(run.at(name)) and not os.path.islink(run.at(name))

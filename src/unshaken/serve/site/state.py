"""`Site`: what the pages of runs share."""

from __future__ import annotations

from dataclasses import dataclass, field

from unshaken.core.errors import ParameterError
from unshaken.report.blocks import Block
from unshaken.report.pages import comparison_page, report_page
from unshaken.report.summary import build
from unshaken.run import RunDir
from unshaken.serve.review.store import ReviewStore
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.jobs import Jobs
from unshaken.serve.site.kept import Kept
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.opened import OpenedRun

MOST_OUTCOMES = 3_000_000
"""Samples times conditions up to which a report is made again when it is asked for; it takes about a minute there."""


@dataclass(frozen=True)
class Site:
    """A place to look at every run.

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
    _opened: Kept[OpenedRun] = field(default_factory=lambda: Kept(12))
    _reports: Kept[tuple[Block, ...]] = field(default_factory=lambda: Kept(12))

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed or started."""
        return self.jobs is None

    def open(self, listed: ListedRun) -> OpenedRun:
        """An evaluation of the list.

        Raises:
            RunError: it is of another command, or damaged.
        """
        return self._opened.get((listed.place, listed.mark), lambda: OpenedRun(listed.place))

    def report(self, listed: ListedRun) -> tuple[Block, ...] | None:
        """The blocks of a run's report, made of its rows; None where it is too large for that, or no evaluation.

        Raises:
            RunError: its rows are damaged.
        """
        if listed.record != "run.json" or listed.samples * listed.conditions > MOST_OUTCOMES:
            return None
        return self._reports.get((listed.place, listed.mark), lambda: report_page(build(RunDir(listed.place))).blocks)

    def compare(self, baseline: ListedRun, candidate: ListedRun) -> tuple[Block, ...]:
        """The blocks of a comparison of two runs.

        Raises:
            ParameterError: they have no samples in common, or cannot be compared.
            RunError: one of them is damaged.
        """
        from unshaken.report import compare_runs

        if max(run.samples * run.conditions for run in (baseline, candidate)) > MOST_OUTCOMES:
            raise ParameterError("these runs are too large for a page: use 'unshaken compare'")
        key = tuple((run.place, run.mark) for run in (baseline, candidate))
        return self._reports.get(
            key, lambda: comparison_page(compare_runs([RunDir(baseline.place), RunDir(candidate.place)])).blocks
        )

"""Shared by commands that make a run: run it, show the results, choose the exit code."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import typer

from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.core.options import Options

if TYPE_CHECKING:
    from unshaken.api import Audit

GATE_FAILED = 1
BAD_SAMPLES = 3
FEW = 3
"""Bad samples named."""


@contextmanager
def _cost_on_stderr() -> Iterator[None]:
    """Print the warning of a long run as one line on stderr."""
    from unshaken.run.cost import LongRunWarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, LongRunWarning):
            typer.echo(f"unshaken: {message}", err=True)
        else:
            usual(message, category, filename, lineno, file, line)

    with python_warnings.catch_warnings():
        usual, python_warnings.showwarning = python_warnings.showwarning, show
        python_warnings.simplefilter("always", LongRunWarning)
        yield


def make_run(session: Session, options: Options, out: str, as_json: bool, start: Callable[[Options], Audit]) -> int:
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
    place = str(options["out"] or out)
    session.makes_run(place, given=options["out"] is not None)
    with progress(session), _cost_on_stderr():
        done = start({**options, "out": place})
    return show_run(session, done, as_json)


def show_run(session: Session, done: Audit, as_json: bool) -> int:
    """Show a finished run.

    Args:
        session: of this call.
        done: the run.
        as_json: print the summary instead of tables.

    Returns:
        The exit code, as of `make_run`.
    """
    from unshaken.report.render.terminal import warnings

    if as_json:
        print_json(done.summary)
    elif not session.quiet:
        print_page(done.page)
    if as_json or session.quiet:
        for line in warnings(done.page):
            typer.echo(line, err=True)
    if not as_json:
        place = f"{str(done.run).rstrip('/')}/report.html"
        print_line(place if session.quiet else f"report: {place}")
    if not done.held:
        return GATE_FAILED
    return BAD_SAMPLES if done.summary["bad_samples"] else 0

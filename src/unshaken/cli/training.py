"""A training run as commands show it: its progress, its page, its exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from unshaken.cli.outcome import BAD_SAMPLES
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page

if TYPE_CHECKING:
    from unshaken.harden.engine.run import HardenResult


def train(
    session: Session,
    model: str,
    data: str,
    recipes: Sequence[str],
    out: str | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    """Train a model by recipes, and show what came out.

    Args:
        session: of the command.
        model: an architecture, or the SPEC of a model.
        data: SPEC.
        recipes: `NAME[:k=v,...]`.
        out: run directory; None for a new one.
        options: others of `unshaken.harden`.
        as_json: whether to print JSON.

    Returns:
        The exit code.
    """
    from unshaken import api

    folder = out or api.default_out(model, data, "harden")
    session.makes_run(folder, given=out is not None)
    with progress(session):
        done = api.harden(model, data, recipes, out=folder, **options)
    return _show_result(done, session, as_json=as_json)


def _show_result(done: HardenResult, session: Session, *, as_json: bool) -> int:
    """Show what came out, and choose the exit code."""
    from unshaken.report.pages.training import TRAINING, Source
    from unshaken.report.read.training import read_training
    from unshaken.report.render.terminal import warnings

    result = done.result
    if not result:  # the first of several processes tells
        return 0
    if as_json:
        print_json(
            {"run": str(done.run), **result, "bad_samples": [{"id": k, "reason": v} for k, v in done.bad.items()]}
        )
        return BAD_SAMPLES if done.bad else 0
    page = TRAINING.page(Source(read_training(done.run)))
    if not session.quiet:
        print_page(page)
    else:
        for line in warnings(page):
            typer.echo(line, err=True)
    for name, reason in list(done.bad.items())[:3]:
        print_line(f"not used: {name}: {reason}")
    print_line(f"report: {str(done.run).rstrip('/')}/report.html")
    print_line(f"model: {shlex.quote(done.spec or f'run:{done.run}')}")
    return BAD_SAMPLES if done.bad else 0

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
from unshaken.core.errors import ParameterError, did_you_mean

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
    from unshaken.report.read.training import read_training
    from unshaken.report.render.terminal import warnings
    from unshaken.report.sections.harden import training_page

    result = done.result
    if not result:  # the first of several processes tells
        return 0
    if as_json:
        print_json(
            {"run": str(done.run), **result, "bad_samples": [{"id": k, "reason": v} for k, v in done.bad.items()]}
        )
        return BAD_SAMPLES if done.bad else 0
    page = training_page(read_training(done.run))
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


def training_options(settings: Sequence[str], *, seed: int, **options: float | None) -> dict[str, Any]:
    """Collect the options of the training loop, as keyword arguments of `unshaken.harden`.

    Args:
        settings: the values of `--set`, each `K=V`; they stay text.
        seed: of `--seed`.
        options: those with an option of their own; None where it was not given.

    Raises:
        ParameterError: a setting is not of the form `K=V`, no option of the training loop, or given twice.
    """
    given, named = _settings(settings), {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key in named:
            raise ParameterError(f"{key!r} is given twice, as --{key.replace('_', '-')} and as --set: give it once")
    return {**named, "seed": seed, **given}


def _settings(texts: Sequence[str]) -> dict[str, str]:
    """`K=V` as a dict; the values stay text."""
    from unshaken.harden.engine.training import Training

    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ParameterError(f"--set {text!r} is not of the form K=V, such as schedule=step")
        if key in found:
            raise ParameterError(f"--set {key!r} is given twice: give it once")
        if key not in Training.model_fields:
            near = did_you_mean(key, Training.model_fields)
            raise ParameterError(f"--set {text!r}: there is no training option {key!r}; {near}")
        found[key] = value.strip()
    return found

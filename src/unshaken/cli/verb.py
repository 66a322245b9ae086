"""`verb`: enters a command, with what all commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from unshaken.cli.failures import explain
from unshaken.cli.options.run import run_options
from unshaken.cli.session import Session
from unshaken.cli.values import strictly

Command = Callable[..., int]


def _shared(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show no progress bars and no tables, only warnings.", show_default=False),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", show_default=False)] = False,
) -> None:
    """Options of every verb."""


def verb(command: Command) -> Command:
    """A command of the program from a function, ready for typer.

    The function may have two parameters that are no options of its own: `session`, and `options`, which stands for
    everything that `run_options` declares. It returns the exit code; what it raises becomes one line and a code.

    Args:
        command: its docstring is the help, its annotated parameters are the options.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    wants_session, wants_options = own.pop("session", None), own.pop("options", None)
    of_runs = _parameters(run_options) if wants_options else {}
    parameters = [_CONTEXT, *_keywords(own), *of_runs.values(), *_parameters(_shared).values()]

    @functools.wraps(command)
    def run(ctx: typer.Context, quiet: bool, debug: bool, **values: Any) -> int:
        session: Session = ctx.find_root().obj
        session.quiet, session.debug = session.quiet or quiet, session.debug or debug
        session.subcommand = ctx.invoked_subcommand or ""
        chosen = {k: values.pop(k) for k in of_runs}
        try:
            if wants_options:
                values["options"] = run_options(**chosen)
            if wants_session:
                values["session"] = session
            return command(**values)
        except (Exception, KeyboardInterrupt) as error:
            return explain(error, session)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters
    return dict(zip(found, _keywords(found), strict=True))


def _keywords(parameters: Mapping[str, inspect.Parameter]) -> list[inspect.Parameter]:
    return [strictly(p.replace(kind=inspect.Parameter.KEYWORD_ONLY)) for p in parameters.values()]

"""`verb`: enters a command, with what all commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from unshaken.cli.failures import explain
from unshaken.cli.options import AllowCode, Debug, Quiet
from unshaken.cli.session import Session
from unshaken.cli.values import read_parameters
from unshaken.core.options import declared

Command = Callable[..., int]
KEYWORD = inspect.Parameter.KEYWORD_ONLY
CONTEXT = inspect.Parameter("ctx", KEYWORD, annotation=typer.Context)
CONSENT = inspect.Parameter("allow_code", KEYWORD, annotation=AllowCode, default=None)
OUTPUT = (
    inspect.Parameter("quiet", KEYWORD, annotation=Quiet, default=False),
    inspect.Parameter("debug", KEYWORD, annotation=Debug, default=False),
)
"""Options of every command."""


def verb(command: Command) -> Command:
    """A command of the program from a function, ready for typer.

    The function may have two parameters that are no options of its own: `session`, and `options`, which stands for
    all entries of `Options` and for `--allow-code`. It returns the exit code; what it raises becomes one line and a
    code.

    Args:
        command: its docstring is the help, its annotated parameters are the options.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    wants_session, group = own.pop("session", None), own.get("options")
    of_runs = declared(group.annotation) if group is not None else {}
    consent = [CONSENT] if group is not None else []
    parameters = [CONTEXT, *read_parameters(own.values()), *read_parameters([*consent, *OUTPUT])]

    @functools.wraps(command)
    def run(ctx: typer.Context, quiet: bool, debug: bool, **values: Any) -> int:
        session: Session = ctx.find_root().obj
        session.quiet, session.debug = session.quiet or quiet, session.debug or debug
        session.subcommand = ctx.invoked_subcommand or ""
        if group is not None:
            del values["allow_code"]
            given = {name: values.pop(name) for name in of_runs}
            values["options"] = {k: of_runs[k][1].default if v is None else v for k, v in given.items()}
        if wants_session:
            values["session"] = session
        try:
            return command(**values)
        except (Exception, KeyboardInterrupt) as error:
            return explain(error, session)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run

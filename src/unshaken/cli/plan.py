"""`unshaken plan check`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.options import Argument

app = typer.Typer(name="plan", help="Work with plan files.", no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Work with plan files, the YAML lists of what an audit runs."""


@app.command("check")
@verb
def check(
    files: Annotated[list[str], Argument("Plan files (.yaml) or names.", "FILE ...")],
) -> int:
    """Check plan files without running them: methods, parameters, severities and budgets.

    Exit codes: 0 all can be run, 2 at least one cannot.
    """
    from unshaken.core.errors import ParameterError, UnshakenError
    from unshaken.run.plan import load_plan, prepare

    wrong = 0
    for file in files:
        try:
            steps = prepare(load_plan(file))
        except UnshakenError as error:
            wrong += 1
            typer.echo(f"{file}: {error}", err=True)
        else:
            print_line(f"{file}: {len(steps)} lines, {sum(len(s.conditions) for s in steps)} conditions")
    if wrong:
        raise ParameterError(f"{wrong} of {len(files)} plans cannot be run")
    return 0

"""`unshaken compare`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from unshaken.cli.options import Json
from unshaken.cli.session import Session
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.verb import verb

if TYPE_CHECKING:
    from unshaken.report import RunComparison


@verb
def compare(
    session: Session,
    directories: Annotated[
        list[str],
        typer.Argument(metavar="DIR DIR ...", help="Run directories; the first is the baseline.", show_default=False),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Where the page goes. Default: a folder beside the last run.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Compare runs on the same samples: paired differences with intervals, corrected for the number of conditions."""
    from unshaken import api
    from unshaken.report import write_comparison
    from unshaken.run import RunDir

    result = api.compare(*directories)
    place = out or beside_last(directories)
    write_comparison(RunDir(place), result)
    if json:
        print_json(result.to_json())
        return 0
    if not session.quiet:
        for one in result.runs:
            show_comparison(one)
    print_line(f"page: {place.rstrip('/')}/compare.html")
    return 0


def beside_last(directories: Sequence[str]) -> str:
    """The default place of the page: a folder beside the last run, named after all.

    >>> beside_last(["runs/a", "runs/b/"])
    'runs/compare-a-b'
    """
    names = [posixpath.basename(d.rstrip("/")) or "run" for d in directories]
    parent = posixpath.dirname(directories[-1].rstrip("/"))
    return posixpath.join(parent, f"compare-{'-'.join(names)}"[:120])


def show_comparison(one: RunComparison) -> None:
    """One comparison as a table."""
    from unshaken.report import wording

    rows = []
    for c in one.conditions:
        difference = c.paired.difference
        rows.append(
            [
                c.condition.id,
                wording.percent(c.baseline.value),
                wording.percent(c.candidate.value),
                f"{100 * difference.value:+.1f}",
                f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}",
                f"{c.paired.p_holm:.2g}",
                c.verdict if c.verdict in ("better", "worse") else "",
            ]
        )
    print_line(f"{one.candidate_name} ({one.candidate}) against {one.baseline_name} ({one.baseline}): {one.n} samples")
    heads = ["condition", "baseline", "candidate", "difference", "95 % interval", "p (Holm)", "verdict"]
    console().print(table(heads, rows, right=range(1, 6)))
    for title, names in (("only the baseline has", one.only_baseline), ("only the candidate has", one.only_candidate)):
        if names:
            print_line(one_line(f"{title}: {', '.join(names)}"))
    for note in one.notes:
        print_line(one_line(note))

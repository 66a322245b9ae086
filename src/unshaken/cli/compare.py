"""`unshaken compare`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Annotated

from unshaken.cli.options import Json, Track
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb
from unshaken.core.options import Argument, Option


@verb
def compare(
    session: Session,
    directories: Annotated[
        list[str], Argument("Two or more run directories; the first is the baseline.", "DIR DIR ...")
    ],
    out: Annotated[str | None, Option("Folder for the comparison page. Default: beside the last run.", "DIR")] = None,
    family: Annotated[
        list[str] | None,
        Option(
            "Run of a baseline detector; effective robustness is measured from the line through all. Repeatable.", "DIR"
        ),
    ] = None,
    slope: Annotated[
        float | None, Option("Slope of that line, through 0, in the place of a family. Default: 0.45.", bounds=(0, 10))
    ] = None,
    track: Track = None,
    json: Json = False,
) -> int:
    """Compare runs on the same samples: paired differences with confidence intervals, corrected for multiple tests."""
    from unshaken import api
    from unshaken.report import write_comparison
    from unshaken.store.run_dir import RunDir

    result = api.compare(*directories, family=family or (), slope=slope, track=track)
    place = out or beside_last(directories)
    page = write_comparison(RunDir(place), result)
    if json:
        print_json(result.to_json())
        return 0
    if not session.quiet:
        print_page(page)
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

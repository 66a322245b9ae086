"""`unshaken report`."""

from __future__ import annotations

from unshaken.cli.options import Json, Run
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb


@verb
def report(directory: Run, json: Json = False) -> int:
    """Make summary.json, report.html and report.md again, from the rows alone."""
    from unshaken.report import write_report
    from unshaken.run import RunDir

    run = RunDir(directory)
    summary, _ = write_report(run)
    if json:
        print_json(summary)
    else:
        print_line(f"report: {str(run).rstrip('/')}/report.html")
    return 0

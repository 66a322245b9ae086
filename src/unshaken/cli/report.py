"""`unshaken report`."""

from __future__ import annotations

from unshaken.cli.options import Json, Run
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb


@verb
def report(directory: Run, json: Json = False) -> int:
    """Rebuild the report of a run from its directory."""
    from unshaken.report.rebuild import rebuild_report
    from unshaken.store.run_dir import RunDir

    run = RunDir(directory)
    shown = rebuild_report(run)
    if json:
        print_json(shown)
    else:
        print_line(f"report: {str(run).rstrip('/')}/report.html")
    return 0

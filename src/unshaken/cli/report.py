"""`unshaken report`."""

from __future__ import annotations

from unshaken.cli.options.shared import Json, Run
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb


@verb
def report(directory: Run, json: Json = False) -> int:
    """Rebuild the report of a run from its directory."""
    from unshaken.report import write_report
    from unshaken.report.label_reports import write_label_report
    from unshaken.run import RunDir

    run = RunDir(directory)
    if run.exists("harden.json") and not run.exists("run.json"):
        from unshaken.report.write import write_training_report

        write_training_report(run)
        shown = run.read_json("harden.json")
    elif (record := write_label_report(run)) is not None:
        shown = record
    elif run.exists("rows") and not run.exists("run.json"):
        from unshaken.report.write import write_images_report

        write_images_report(run)
        shown = {"flags": run.rows("flags").to_pylist()}
    else:
        shown, _ = write_report(run)
    if json:
        print_json(shown)
    else:
        print_line(f"report: {str(run).rstrip('/')}/report.html")
    return 0

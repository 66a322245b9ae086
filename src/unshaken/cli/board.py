"""`unshaken board make|submit|verify|export`: tables of many models' runs, and runs as files for others' tables."""

from __future__ import annotations

from typing import Annotated, Literal

from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.names import check_data, check_model
from unshaken.cli.options import AllowCode, BatchSize, Device, Download, Json
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, print_page, table
from unshaken.cli.verb import group, verb
from unshaken.core.options import BOARD_RECORDS, SEED, SHARE, Argument, Option, OutputFile, OutputFolder

app = group("board", help="Compare the runs of many models in one table.", no_args_is_help=True)


@app.callback()
def board() -> None:
    """Compare the runs of many models in one table; exchange runs as files."""


@app.command("make")
@verb(python="board")
def make(
    session: Session,
    places: Annotated[
        list[str],
        Argument("Run directories, submissions (.zip), folders of both, and files of other leaderboards.", "DIR ..."),
    ],
    out: Annotated[str, OutputFolder("Folder for the static site.", "DIR", records=BOARD_RECORDS)],
    json: Json = False,
) -> int:
    """Put finished runs and submissions into one table of models by protocols, written as a static site.

    Runs share a column only if they have the same plan, parameters, data, samples, labels and seed. Files of
    RobustBench (.json), the Hugging Face hub (.yaml) and timm (.csv) stand apart as reported elsewhere.
    """
    from unshaken import api

    done = api.board(*places, out=out)
    if json:
        print_json(done.summary)
        return 0
    if not session.quiet:
        print_page(done.page)
    print_line(f"page: {str(done.run).rstrip('/')}/index.html")
    return 0


@app.command("submit")
@verb(python="api.submit_run")
def submit(
    directory: Annotated[str, Argument("Run directory.", "RUN")],
    out: Annotated[str, OutputFile("File to write, ending in .zip.", "FILE")],
) -> int:
    """Write a finished run as one file for a board: its record and rows, without images."""
    from unshaken import api

    api.submit_run(directory, out=out)
    print_line(f"submission: {out}")
    return 0


@app.command("verify")
@verb(python="api.verify_submission")
def verify(
    session: Session,
    submission: Annotated[str, Argument("File written by 'unshaken board submit'.", "FILE")],
    model: Annotated[
        str | None,
        Option("Model. Default: the one that the file names.", "SPEC", complete=complete_model, read=check_model),
    ] = None,
    data: Annotated[
        str | None,
        Option("Images. Default: those that the file names.", "SPEC", complete=complete_data, read=check_data),
    ] = None,
    share: Annotated[float, Option("Share of the samples to compute again.", "SHARE", SHARE)] = 0.05,
    seed: Annotated[int | None, Option("Random seed of the draw. Default: a new one.", "S", SEED)] = None,
    batch_size: BatchSize = "auto",
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Compute a random share of a submission's rows again, and compare them.

    Exit codes: 0 the rows agree, 1 rows differ as those of an honest run cannot, 2 wrong usage or bad input.
    """
    from unshaken import api

    done = api.verify_submission(
        submission, model, data, share=share, seed=seed, batch_size=batch_size, device=device, download=download
    )
    if json:
        print_json(done.to_json())
        return 0 if done.held else 1
    heads = ("condition", "rows", "agree", "rounding", "better there", "better here", "verdict")
    if not session.quiet:
        rows = [
            (c.condition, c.rows, c.agree, c.rounding, c.favour, c.against, "held" if c.held else "differs")
            for c in done.checks
        ]
        console().print(table(heads, rows, right=range(1, 6)))
    for line in done.sentences():
        print_line(line)
    return 0 if done.held else 1


@app.command("export")
@verb(python="api.export_runs")
def export(
    directories: Annotated[list[str], Argument("Run directories.", "RUN ...")],
    out: Annotated[str, OutputFile("File to write.", "FILE")],
    form: Annotated[
        Literal["eval-results", "openood", "robustbench", "timm"],
        Option("Format of the file.", "FORMAT", flags="--format"),
    ],
    dataset: Annotated[
        str | None, Option("Name of the data in the file. Default: the one that the run has.", "NAME")
    ] = None,
) -> int:
    """Write finished runs in the format of a public leaderboard.

    robustbench: a JSON file of model_info, from a run of AutoAttack. openood: a CSV file of near and far sets, from a
    run of detectors. eval-results: a YAML file for the folder .eval_results of a model on the Hugging Face hub. timm: a
    CSV file of accuracies on unchanged images.
    """
    from unshaken import api

    api.export_runs(*directories, form=form, out=out, dataset=dataset)
    print_line(f"{form}: {out}")
    return 0

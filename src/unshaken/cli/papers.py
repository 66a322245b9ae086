"""`unshaken papers list|freeze|networks|new|run|table|trend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from unshaken.cli.options import OWN, Download, Json
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.verb import group, verb
from unshaken.core.options import MARKDOWN, PAPER_RECORDS, TREND_RECORDS, Argument, Option, OutputFolder, UpdatedFile

if TYPE_CHECKING:
    from unshaken.papers import PaperResult

Scale = Annotated[
    str,
    Option(
        "quick: at most about ten minutes on two cores. full: as published, up to an hour or more; see its page.",
        "quick|full",
    ),
]
Slug = Annotated[
    str,
    Argument(
        "Name of the paper, see 'unshaken papers list'; or the folder of a row of your own, such as ./my_claim.", "SLUG"
    ),
]
Seed = Annotated[int, OWN["seed"]]
OwnData = Annotated[str | None, Option("Your own data instead of the small data set.", "SPEC")]
OwnModel = Annotated[str | None, Option("Your own model instead of the small network.", "SPEC")]
app = group("papers", help="Reproduce the claims of published papers at small scale.")

CLAIM_FAILED = 1


@app.command("list")
@verb()
def list_(json: Json = False) -> int:
    """List the papers that can be reproduced."""
    from unshaken.papers import list_papers

    papers = list_papers()
    if json:
        print_json([p.to_json() for p in papers])
    else:
        console().print(table(["slug", "title", "claim"], [[p.slug, p.title, p.summary] for p in papers]))
    return 0


@app.command("freeze")
@verb()
def freeze_(
    slug: Slug,
    out: Annotated[str, OutputFolder("Run directory of the coming run.", "DIR", records=PAPER_RECORDS)],
    scale: Scale = "quick",
    seed: Seed = 0,
    data: OwnData = None,
    model: OwnModel = None,
) -> int:
    """Write down rules and settings before a run; its result then names their digest, and any later change shows."""
    from unshaken.papers import freeze

    frozen = freeze(slug, out=out, scale=scale, seed=seed, data=data, model=model)
    print_line(f"rules and settings of {slug}: {frozen['rule']}, frozen {frozen['date']} in {out}")
    return 0


@app.command("networks")
@verb()
def networks(
    session: Session,
    name: Annotated[
        str | None, Argument("Network to train, or whose training to resume. Without it: list all of them.", "NAME")
    ] = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Train a network that several papers share, or list them with accuracy, hours and hash."""
    from unshaken.papers.record import figures_in_words
    from unshaken.papers.shared import list_networks, make_network, network_folder, network_state

    if name:
        session.goes_on_with([])
        with progress(session):
            make_network(name, download=download)
    known = {key: entry for key, entry in list_networks().items() if name in (None, key)}
    states = {key: network_state(key) for key in known}
    if json:
        records = {key: record and record.model_dump(mode="json", by_alias=True) for key, (_, record) in states.items()}
        about = {key: {**entry.model_dump(mode="json"), "state": states[key][0]} for key, entry in known.items()}
        print_json([{"name": key, **about[key], "record": records[key]} for key in known])
        return 0
    rows = []
    for key, entry in known.items():
        state, record = states[key]
        accuracy, short = (figures_in_words(record.figures), record.hash[:12]) if record else (None, None)
        rows.append([key, state, accuracy, f"{record.hours:g}" if record else f"about {entry.hours:g}", short])
    console().print(table(["network", "state", "accuracy", "hours", "hash"], rows))
    if name:
        print_line(f"model: run:{network_folder(name)}")
    return 0


@app.command("new")
@verb()
def new(
    folder: Annotated[
        str,
        Argument("Folder to write; its name is that of the row.", "NAME"),
    ],
) -> int:
    """Write the folder of a new row, with a small claim on the demo models that runs within a minute."""
    from unshaken.papers.new import write_row

    made = write_row(folder)
    place = made if made.is_absolute() else f"./{made}"
    print_line(f"{place}: change claim.toml, experiment.py and figures.py; then: unshaken papers run {place}")
    return 0


@app.command("run")
@verb()
def run(
    session: Session,
    slug: Slug,
    scale: Scale = "quick",
    seed: Seed = 0,
    out: Annotated[str | None, OutputFolder("Run directory.", "DIR", records=PAPER_RECORDS)] = None,
    data: OwnData = None,
    model: OwnModel = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Reproduce a paper at small scale. Exit codes: 0 reproduced, 1 not reproduced, 2 could not run."""
    from unshaken.papers import run_paper

    if out is not None:
        session.goes_on_with([])
    with progress(session):
        result = run_paper(slug, scale=scale, seed=seed, out=out, data=data, model=model, download=download)
    if json:
        print_json(result.to_json())
    else:
        _show(result)
    return 0 if result.reproduced else CLAIM_FAILED


@app.command("table")
@verb()
def table_(
    results: Annotated[
        str, Option("Folder with a folder for each row, that holds its result.json.", "DIR")
    ] = "src/unshaken_papers",
    out: Annotated[
        str, UpdatedFile("Markdown file to write.", "FILE", kind="a Markdown file", endings=MARKDOWN)
    ] = "docs/papers.md",
) -> int:
    """Write the table of all results, and the page of each row, from the JSON files of finished runs."""
    from unshaken.papers import write_table

    write_table(results, out)
    print_line(f"page: {out}")
    return 0


@app.command("trend")
@verb()
def trend(
    session: Session,
    slug: Slug,
    over: Annotated[str, Option("A parameter of the row and its values, as images=500+1000+2000.", "NAME=V+V")],
    along: Annotated[
        str | None, Option("Dotted name of a figure to draw along, in the place of the values.", "FIGURE")
    ] = None,
    scale: Scale = "quick",
    seed: Seed = 0,
    out: Annotated[str | None, OutputFolder("Folder for the runs.", "DIR", records=TREND_RECORDS)] = None,
    data: OwnData = None,
    model: OwnModel = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Run a paper at several values of one parameter, to see where the effect of each part goes."""
    from unshaken.papers import run_trend

    if out is not None:
        session.goes_on_with([])
    with progress(session):
        found = run_trend(
            slug, over, along=along, scale=scale, seed=seed, out=out, data=data, model=model, download=download
        )
    if json:
        print_json(found.to_json())
        return 0
    for curve in found.curves:
        rows = [
            [
                f"{p.at:g}",
                f"{p.value:+.4f}",
                None if p.low is None or p.high is None else f"{p.low:+.4f} to {p.high:+.4f}",
            ]
            for p in curve.points
        ]
        print_line(one_line(f"{curve.part}: {curve.words}"))
        console().print(table([found.along, "effect", "interval"], rows))
    return 0


def _show(result: PaperResult) -> None:
    from unshaken.papers.pages import shown_figures

    print_line(f"{result.slug}: {result.title}")
    print_line(one_line(f"claim: {result.claim}"))
    figures = [[f.title, str(f), f.expected or None] for f in shown_figures(result)]
    console().print(table(["figure", "measured", "expected"], figures))
    print_line(f"all {len(result.measured)} figures: --json, or result.json in the run directory")
    for part in result.parts if len(result.parts) > 1 else ():
        print_line(one_line(f"{part.outcome}: {part.statement}"))
    where = f"{result.data} with {result.model}, seed {result.seed}, {result.seconds:.0f} s"
    print_line(one_line(f"{'reproduced' if result.reproduced else 'NOT reproduced'} on {where}"))
    for line in (result.note, *result.differs):
        if line:
            print_line(one_line(line))

"""`unshaken papers list|run|table`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from unshaken.cli.options import Download, Json
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, one_line, print_json, print_line, table
from unshaken.cli.values import SEED
from unshaken.cli.verb import verb

app = typer.Typer(name="papers", help="Reproduce the claims of published papers at small scale.")

CLAIM_FAILED = 1


@app.command("list")
@verb
def list_(json: Json = False) -> int:
    """List the papers that can be reproduced."""
    from unshaken.papers import list_papers

    papers = list_papers()
    if json:
        print_json([p.to_json() for p in papers])
    else:
        console().print(table(["slug", "title", "claim"], [[p.slug, p.title, p.summary] for p in papers]))
    return 0


@app.command("run")
@verb
def run(
    session: Session,
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="Name of the paper; see 'unshaken papers list'.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed of the run.")] = 0,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Run directory.", show_default=False)] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Your own data instead of the small data set.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Your own model instead of the small network.", show_default=False),
    ] = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Reproduce a paper at small scale. Exit codes: 0 reproduced, 1 not reproduced, 2 could not run."""
    from unshaken.papers import run_paper

    if out is not None:
        session.goes_on_with([])
    with progress(session):
        result = run_paper(slug, seed=seed, out=out, data=data, model=model, download=download)
    record = result.to_json()
    if json:
        print_json(record)
    else:
        _show(record)
    return 0 if result.reproduced else CLAIM_FAILED


@app.command("table")
@verb
def table_(
    results: Annotated[
        str, typer.Option(metavar="DIR", help="Folder with one SLUG.json per finished run.")
    ] = "docs/papers",
    out: Annotated[str, typer.Option(metavar="FILE", help="Markdown file to write.")] = "docs/papers.md",
) -> int:
    """Write the table of all results, from the JSON files of finished runs."""
    from unshaken.papers import write_table

    write_table(results, out)
    print_line(f"page: {out}")
    return 0


def _show(record: dict[str, Any]) -> None:
    print_line(f"{record['slug']}: {record['title']}")
    print_line(one_line(f"claim: {record['claim']}"))
    measured, expected = dict(_figures(record["measured"])), dict(_figures(record["expected"]))
    names = dict.fromkeys([*measured, *expected])
    console().print(table(["figure", "measured", "expected"], [[n, measured.get(n), expected.get(n)] for n in names]))
    where = f"{record['data']} with {record['model']}, seed {record['seed']}, {record['seconds']:.0f} s"
    print_line(one_line(f"{'reproduced' if record['reproduced'] else 'NOT reproduced'} on {where}"))
    if record["note"]:
        print_line(one_line(record["note"]))


def _figures(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and figures as text."""
    if isinstance(value, Mapping) and "value" not in value:
        for key, inner in value.items():
            yield from _figures(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Mapping):
        ends = [_number(value.get(end)) for end in ("low", "high")]
        yield name, _number(value["value"]) + (f" ({ends[0]} to {ends[1]})" if value.get("low") is not None else "")
    else:
        yield name, _number(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

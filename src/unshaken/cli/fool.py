"""`unshaken fool`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.options.shared import Download, Json, Model
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, table
from unshaken.cli.values import COUNT, SEED
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError


@verb
def fool(
    session: Session,
    model: Model,
    encoding: Annotated[
        str,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="ascent, direct or cppn: gradient ascent, or evolution of pixels or of graphs.",
        ),
    ] = "cppn",
    classes: Annotated[str, typer.Option(metavar="all|C,C,...", help="Class numbers, from 0.")] = "all",
    generations: Annotated[
        int, typer.Option(metavar="N", **COUNT, help="Number of generations, or of gradient steps.")
    ] = 200,
    population: Annotated[
        int, typer.Option(metavar="N", min=2, max=100_000, help="Number of candidates per generation (even).")
    ] = 200,
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed.")] = 0,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for fooling.json and the images.")] = "runs/fool",
    device: Annotated[str, typer.Option(metavar="cpu|cuda|mps", help="Device to run on.")] = "cpu",
    download: Download = False,
    json: Json = False,
) -> int:
    """Generate one meaningless image per class that the model classifies with high confidence.

    Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.fool import fool as make

    with progress(session):
        fooled = make(
            model,
            encoding=encoding,
            classes=_classes(classes),
            generations=generations,
            population=population,
            seed=seed,
            out=out,
            device=device,
            download=download,
        )
    if json:
        print_json(fooled.record)
        return 0
    if not session.quiet:
        rows = [
            [r["class"], r["name"], f"{r['confidence']:.4f}", r["found"], r["file"]] for r in fooled.record["images"]
        ]
        console().print(table(["class", "name", "confidence", "found", "file"], rows, right=[0, 2, 3]))
    print_line(f"sheet: {out}/sheet.png")
    return 0


def _classes(text: str) -> tuple[int, ...] | None:
    from unshaken.core.numbers import MAX_CLASSES, parse_whole

    if text == "all":
        return None
    try:
        return tuple(parse_whole(part, least=0, most=MAX_CLASSES) for part in text.split(","))
    except ParameterError:
        raise ParameterError(f"--classes {text!r}: write 'all', or numbers separated by commas") from None
